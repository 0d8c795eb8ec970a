import { describe, expect, test } from "bun:test";
import { memoryPair } from "../../devices/index.ts";
import { Stack, seededRandom, type WorkerPlace } from "../../src/index.ts";
import { identifierOwner, portOwner } from "../../src/wire/worker-share.ts";
import { thrownBy } from "../support/errors.ts";

function stackOf(worker: WorkerPlace | undefined): Stack {
  const stack = new Stack({ worker, random: seededRandom(3), memory: 1 << 20, maxSockets: 1024 });
  stack.addInterface({ device: memoryPair()[0], addresses: ["10.0.0.1/24"] });
  return stack;
}

const REMOTE = { address: "10.0.0.2", port: 80 };

describe("one of several stacks with the same addresses", () => {
  for (const count of [2, 3, 7, 64]) {
    test(`of ${count}: each chooses ports and identifiers of its own, and uses all of them`, () => {
      for (const index of [0, 1, count - 1]) {
        const { sockets } = stackOf({ index, count });
        for (let i = 0; i < 200; i++) {
          const { localPort } = sockets.connect(REMOTE);
          expect(portOwner(localPort, count)).toBe(index);
          expect(portOwner(sockets.bindUdp().port, count)).toBe(index);
          expect(identifierOwner(sockets.bindIcmp().identifier, count)).toBe(index);
        }
      }
    });
  }

  test("the shares are all there is, and end with a sentence", () => {
    const ports = new Set<number>();
    for (let index = 0; index < 64; index++) {
      const { sockets } = stackOf({ index, count: 64 });
      for (let i = 0; i < 256; i++) ports.add(sockets.connect(REMOTE).localPort);
      expect(thrownBy(() => sockets.connect(REMOTE)).message).toContain("all 256 ephemeral TCP ports");
    }
    expect(ports.size).toBe(16_384);
  });

  test("a port or an identifier whose answers would go to another one is refused", () => {
    const { sockets } = stackOf({ index: 1, count: 2 });
    for (const localPort of [1000, 49_152, 57_343]) {
      const error = thrownBy(() => sockets.connect({ ...REMOTE, localPort }));
      expect(error.code).toBe("EADDRNOTAVAIL");
      expect(error.message).toContain("from 57344 to 65535");
    }
    expect(sockets.connect({ ...REMOTE, localPort: 57_344 }).localPort).toBe(57_344);
    const error = thrownBy(() => sockets.bindIcmp({ identifier: 32_767 }));
    expect([error.code, error.message.includes("from 32768 to 65535")]).toEqual(["EADDRNOTAVAIL", true]);
    expect(sockets.bindIcmp({ identifier: 32_768 }).identifier).toBe(32_768);
    // A port that is listened at is everybody's, wherever it is.
    expect(sockets.listen({ port: 50_000 }).port).toBe(50_000);
  });

  test("alone it has all ports, and any that is asked for", () => {
    const { sockets } = stackOf(undefined);
    expect(sockets.connect({ ...REMOTE, localPort: 1000 }).localPort).toBe(1000);
    expect(sockets.bindIcmp({ identifier: 65_535 }).identifier).toBe(65_535);
  });

  test("a place that there is not is refused", () => {
    for (const worker of [
      { index: 0, count: 0 },
      { index: 0, count: 65 },
      { index: 2, count: 2 },
      { index: -1, count: 2 },
      { index: 0.5, count: 2 },
    ]) {
      expect(thrownBy(() => new Stack({ worker })).code).toBe("EINVAL");
    }
  });
});
