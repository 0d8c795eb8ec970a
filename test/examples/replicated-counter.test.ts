// The example is a test itself: `bun test` looks for tests in this folder only.
import "../../examples/replicated-counter.test.ts";
