/** Result codes of header checks. Input from the network never throws: a check returns one of these. */
export const OK = 0;
/** The bytes end before the header, or before the length that the header states. */
export const TRUNCATED = 1;
/** A version or a fixed field has a value that this parser is not for. */
export const BAD_VERSION = 2;
/** The header length field is smaller than the fixed header or larger than the packet. */
export const BAD_HEADER_LENGTH = 3;
/** A length field contradicts another one. */
export const BAD_LENGTH = 4;
export const BAD_CHECKSUM = 5;

export type WireCode =
  | typeof OK
  | typeof TRUNCATED
  | typeof BAD_VERSION
  | typeof BAD_HEADER_LENGTH
  | typeof BAD_LENGTH
  | typeof BAD_CHECKSUM;

/** The codes that node and libuv give the same conditions. */
export type ErrorCode =
  | "EACCES"
  | "EADDRINUSE"
  | "EADDRNOTAVAIL"
  | "EBUSY"
  | "ECANCELED"
  | "ECONNABORTED"
  | "ECONNREFUSED"
  | "ECONNRESET"
  | "EEXIST"
  | "EHOSTUNREACH"
  | "EINVAL"
  | "EIO"
  | "EISCONN"
  | "EMFILE"
  | "EMSGSIZE"
  | "ENETDOWN"
  | "ENETUNREACH"
  | "ENOBUFS"
  | "ENODEV"
  | "ENOENT"
  | "ENOTCONN"
  | "ENOTSUP"
  | "EPERM"
  | "EPIPE"
  | "EPROTO"
  | "ETIMEDOUT";

/**
 * An error for the program that uses the stack: a `code` to branch on and a sentence that says what to do.
 *
 * @example
 * ```ts
 * try {
 *   parseAddress("10.0.0.256");
 * } catch (error) {
 *   if (error instanceof StackError) console.log(error.code); // EINVAL
 * }
 * ```
 */
export class StackError extends Error {
  override readonly name = "StackError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * @param of what the number counts, where the name does not say: `" of bytes"`
 * @throws StackError EINVAL where it is not a whole number from `least` to `most`
 */
export function requireWhole(name: string, value: number, least: number, most: number, of = ""): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new StackError(
    "EINVAL",
    `${name} must be a whole number${of} from ${least} to ${most}, not ${value}`,
  );
}

/** @throws StackError EINVAL where it is not a whole number above 0 */
export function requireCount(name: string, count: number): void {
  if (Number.isInteger(count) && count >= 1) return;
  throw new StackError("EINVAL", `${name} must be a whole number above 0, not ${count}`);
}
