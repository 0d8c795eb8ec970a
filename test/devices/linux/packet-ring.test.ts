import { expect } from "bun:test";
import { mapRings } from "../../../devices/linux/packet-ring.ts";
import { thrownBy } from "../../support/errors.ts";
import { systemTest } from "../../support/system.ts";

systemTest("rings that can't be mapped are an error", [], async () => {
  const error = thrownBy(() => mapRings(-1, 1 << 20));
  expect(error.message).toContain("The rings of the packet socket could not be made (EBADF)");
});
