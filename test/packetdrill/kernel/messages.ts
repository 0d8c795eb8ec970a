import type { Call, Value } from "../script.ts";
import { CallError } from "./call.ts";
import { constant } from "./constants.ts";
import { argument, describe, member, nameOf, numberOr, toNumber } from "./values.ts";

/** What the calls that move bytes are asked for, whatever they are called. */
export interface Transfer {
  /** Bytes, over all pieces. */
  readonly length: number;
  /** Sizes of the pieces. */
  readonly pieces: readonly number[];
  /** MSG_... */
  readonly flags: number;
  /** NULL stands where the bytes should be. */
  readonly hasNoBuffer: boolean;
  /** The sockaddr, or what is there instead of one; absent where the call has none. */
  readonly address?: Value;
  /** `read` and `write`, which know no flags. */
  readonly isPlain: boolean;
  /** The msghdr of `recvmsg` and `sendmsg`. */
  readonly header?: Value;
}

/**
 * Reads the arguments of read, readv, recv, recvfrom, recvmsg, write, writev, send, sendto and sendmsg.
 *
 * @throws CallError
 */
export function toTransfer(call: Call): Transfer {
  const { args } = call;
  const flagsAt = (index: number) => numberOr(argument(args, index), 0);
  switch (call.name) {
    case "read":
    case "write":
      return { ...piece(argument(args, 1), argument(args, 2)), flags: 0, isPlain: true };
    case "readv":
    case "writev":
      return { ...vector(argument(args, 1)), flags: 0, isPlain: true };
    case "recv":
    case "send":
      return { ...piece(argument(args, 1), argument(args, 2)), flags: flagsAt(3), isPlain: false };
    case "recvfrom":
    case "sendto":
      return {
        ...piece(argument(args, 1), argument(args, 2)),
        flags: flagsAt(3),
        isPlain: false,
        address: argument(args, 4),
      };
    case "recvmsg":
    case "sendmsg": {
      const header = argument(args, 1);
      const iov = member(header, "msg_iov");
      const address = member(header, "msg_name");
      return {
        ...vector(iov ?? { kind: "array", items: [] }),
        flags: flagsAt(2),
        isPlain: false,
        header,
        ...(address === undefined ? {} : { address }),
      };
    }
    default:
      throw new CallError(`${call.name} moves no bytes`);
  }
}

type Pieces = Pick<Transfer, "length" | "pieces" | "hasNoBuffer">;

function piece(buffer: Value, value: Value): Pieces {
  const length = toNumber(value);
  return { length, pieces: [length], hasNoBuffer: nameOf(buffer) === "NULL" && length > 0 };
}

function vector(value: Value): Pieces {
  if (value.kind !== "array")
    throw new CallError(`${describe(value)} stands where an array of iovecs should`);
  const pieces = value.items.map(pieceLength);
  return { length: pieces.reduce((sum, length) => sum + length, 0), pieces, hasNoBuffer: false };
}

/** `{..., 1000}`, as whoever parses it has called its members. */
function pieceLength(value: Value): number {
  if (value.kind === "structure") {
    const length = member(value, "iov_len") ?? value.members.at(-1)?.value;
    if (length !== undefined) return toNumber(length);
  }
  if (value.kind === "array" && value.items.length > 0) return toNumber(value.items[value.items.length - 1]);
  throw new CallError(`${describe(value)} is no iovec`);
}

export const MSG = {
  OOB: constant("MSG_OOB"),
  PEEK: constant("MSG_PEEK"),
  TRUNC: constant("MSG_TRUNC"),
  DONTWAIT: constant("MSG_DONTWAIT"),
  WAITALL: constant("MSG_WAITALL"),
  ERRQUEUE: constant("MSG_ERRQUEUE"),
  MORE: constant("MSG_MORE"),
  FASTOPEN: constant("MSG_FASTOPEN"),
  ZEROCOPY: constant("MSG_ZEROCOPY"),
} as const;
