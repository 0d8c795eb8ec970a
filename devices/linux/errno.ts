import type { ErrorCode } from "../../src/errors.ts";

/** The error numbers of Linux that devices meet; the same on x64 and arm64. */
export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const EAGAIN = 11;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const EBADFD = 77;
export const ENETDOWN = 100;
export const ENOBUFS = 105;

const NAMES: readonly (readonly [number, string])[] = [
  [EPERM, "EPERM"],
  [ENOENT, "ENOENT"],
  [EINTR, "EINTR"],
  [EIO, "EIO"],
  [ENXIO, "ENXIO"],
  [9, "EBADF"],
  [EAGAIN, "EAGAIN"],
  [12, "ENOMEM"],
  [EACCES, "EACCES"],
  [EFAULT, "EFAULT"],
  [EBUSY, "EBUSY"],
  [EEXIST, "EEXIST"],
  [ENODEV, "ENODEV"],
  [20, "ENOTDIR"],
  [EINVAL, "EINVAL"],
  [23, "ENFILE"],
  [24, "EMFILE"],
  [25, "ENOTTY"],
  [28, "ENOSPC"],
  [32, "EPIPE"],
  [34, "ERANGE"],
  [EBADFD, "EBADFD"],
  [90, "EMSGSIZE"],
  [95, "ENOTSUP"],
  [98, "EADDRINUSE"],
  [99, "EADDRNOTAVAIL"],
  [ENETDOWN, "ENETDOWN"],
  [101, "ENETUNREACH"],
  [ENOBUFS, "ENOBUFS"],
  [110, "ETIMEDOUT"],
  [111, "ECONNREFUSED"],
  [113, "EHOSTUNREACH"],
];

const nameOf = new Map<number, string>(NAMES);

const STACK_CODES: readonly ErrorCode[] = [
  "EACCES",
  "EADDRINUSE",
  "EADDRNOTAVAIL",
  "EBUSY",
  "EEXIST",
  "EHOSTUNREACH",
  "EINVAL",
  "EIO",
  "EMFILE",
  "EMSGSIZE",
  "ENETDOWN",
  "ENETUNREACH",
  "ENOBUFS",
  "ENODEV",
  "ENOENT",
  "ENOTSUP",
  "EPERM",
  "EPIPE",
  "ETIMEDOUT",
];

/** The name of an error number, such as `EBUSY`; `error 999` for one that is not in the list. */
export function errnoName(errno: number): string {
  return nameOf.get(errno) ?? `error ${errno}`;
}

/** The code that a `StackError` for this error number carries; `EIO` where there is no closer one. */
export function errnoCode(errno: number): ErrorCode {
  const name = errnoName(errno);
  return STACK_CODES.find((code) => code === name) ?? "EIO";
}
