import { expect, test } from "bun:test";
import {
  IFF_NO_PI,
  IFF_TUN,
  interfaceName,
  interfaceNameProblem,
  packInterfaceRequest,
} from "../../../devices/linux/tun-ioctl.ts";

test("a request is a struct ifreq: 16 bytes of name, then the flags", () => {
  const request = packInterfaceRequest("tun7", IFF_TUN | IFF_NO_PI);
  expect(request).toHaveLength(40);
  expect(Array.from(request.subarray(0, 18))).toEqual([
    ...[0x74, 0x75, 0x6e, 0x37],
    ...new Array(12).fill(0),
    ...[0x01, 0x10],
  ]);
  expect(interfaceName(request)).toBe("tun7");
});

test("a name is never longer than the field leaves room for its NUL", () => {
  const request = packInterfaceRequest("fifteen-bytes-1234", 0);
  expect(interfaceName(request)).toBe("fifteen-bytes-1");
  expect(request[15]).toBe(0);
});

test("names that the kernel would refuse are refused with a reason", () => {
  for (const name of ["a", "fifteen-bytes-1", "tun%d", "w.1", "ünter"])
    expect(interfaceNameProblem(name)).toBeNull();
  for (const [name, problem] of [
    ["", "has 0 bytes"],
    ["sixteen-bytes-12", "has 16 bytes"],
    ["üüüüüüüü", "has 16 bytes"],
    [".", "means a directory"],
    ["a b", 'has " " in it'],
    ["a/b", 'has "/" in it'],
    ["eth0:1", 'has ":" in it'],
    ["a\0b", 'has "\\u0000" in it'],
    ["%d%d", "has a % that is not the one of a single %d"],
  ]) {
    expect(interfaceNameProblem(name)).toBe(problem);
  }
});
