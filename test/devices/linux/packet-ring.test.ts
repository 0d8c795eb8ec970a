import { expect } from "bun:test";
import { mapRings } from "../../../devices/linux/packet-ring.ts";
import { systemTest } from "../../support/system.ts";
import { failure } from "../frames.ts";

systemTest("rings that can't be mapped are an error", [], async () => {
  const error = failure(() => mapRings(-1, 1 << 20));
  expect(error.message).toContain("The rings of the packet socket could not be made (EBADF)");
});
