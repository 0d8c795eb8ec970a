import { expect, test } from "bun:test";
import { constants } from "node:os";
import { EAGAIN, EBADFD, EBUSY, errnoCode, errnoName } from "../../../devices/linux/errno.ts";

test.skipIf(process.platform !== "linux")("the numbers are the system's", () => {
  for (const [name, number] of Object.entries(constants.errno)) {
    const known = errnoName(number);
    // Some numbers have two names.
    const aliases: Record<string, string> = { EWOULDBLOCK: "EAGAIN", EOPNOTSUPP: "ENOTSUP" };
    if (!known.startsWith("error ")) expect(known).toBe(aliases[name] ?? name);
  }
});

test("every number has a name, and a code that programs can branch on", () => {
  expect([errnoName(EAGAIN), errnoName(EBUSY), errnoName(EBADFD), errnoName(4095)]).toEqual([
    "EAGAIN",
    "EBUSY",
    "EBADFD",
    "error 4095",
  ]);
  expect([errnoCode(EBUSY), errnoCode(EBADFD), errnoCode(4095)]).toEqual(["EBUSY", "EIO", "EIO"]);
});
