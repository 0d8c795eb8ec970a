/** The one place where C functions are looked up. */

import { dlopen, FFIType, type Pointer, read } from "bun:ffi";
import { StackError } from "../../src/errors.ts";

const { i32, u32, u64, i64_fast, ptr } = FFIType;

// `open`, `fcntl` and `ioctl` are variadic in C. Linux passes variadic arguments as it does fixed ones, on x64 and on
// arm64; Apple's arm64 does not.
const SYMBOLS = {
  open: { args: [ptr, i32], returns: i32 },
  close: { args: [i32], returns: i32 },
  ioctl: { args: [i32, u64, ptr], returns: i32 },
  fcntl: { args: [i32, i32, i32], returns: i32 },
  poll: { args: [ptr, u64, i32], returns: i32 },
  eventfd: { args: [u32, i32], returns: i32 },
  // For what the C library has no function for: up to five arguments, numbers or addresses.
  syscall: { args: [i64_fast, ptr, ptr, ptr, ptr, ptr], returns: i64_fast },
  sigaction: { args: [i32, ptr, ptr], returns: i32 },
  socket: { args: [i32, i32, i32], returns: i32 },
  send: { args: [i32, ptr, u64, i32], returns: i32 },
  recv: { args: [i32, ptr, u64, i32], returns: i32 },
  bind: { args: [i32, ptr, u32], returns: i32 },
  setsockopt: { args: [i32, i32, i32, ptr, u32], returns: i32 },
  getsockopt: { args: [i32, i32, i32, ptr, ptr], returns: i32 },
  recvmmsg: { args: [i32, ptr, u32, i32, ptr], returns: i32 },
  // Not a pointer: what it returns when it fails is -1, and as a pointer that would be a large number.
  mmap: { args: [ptr, u64, i32, i32, i32, i64_fast], returns: i64_fast },
  munmap: { args: [ptr, u64], returns: i32 },
  __errno_location: { args: [], returns: ptr },
} as const;

// read(2) and write(2) move every frame. A C library's are points at which a thread may be cancelled, and so begin and end
// with 10 ns of atomic operations each; and a length that is a `u64` goes through the engine's slow path, a pointer does not.
const MOVE = { syscall: { args: [i32, i32, ptr, ptr], returns: i32 } } as const;
const MOVES = process.arch === "arm64" ? { read: 63, write: 64 } : { read: 0, write: 1 };

type Library = ReturnType<typeof dlopen<typeof SYMBOLS>>;

/** C functions as they are, and the error number of the one called last. */
export type Libc = Omit<Library["symbols"], "__errno_location"> & {
  read(fd: number, bytes: Uint8Array, length: number): number;
  write(fd: number, bytes: Uint8Array, length: number): number;
  /** Only right directly after the call that failed. */
  errno(): number;
};

/** glibc, then musl (Alpine). */
const LIBRARIES = ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`];

let loaded: Libc | null = null;

/**
 * The C library, looked up at the first call, so that importing a device costs nothing where there is none.
 *
 * @throws StackError `ENOTSUP` on other systems than Linux, and where no C library is found
 */
export function libc(): Libc {
  if (loaded !== null) return loaded;
  if (process.platform !== "linux") {
    throw new StackError(
      "ENOTSUP",
      `This device needs Linux, and this is ${process.platform}; use memoryPair() or a device of your own.`,
    );
  }
  let reason = "";
  for (const name of LIBRARIES) {
    let library: Library;
    try {
      library = dlopen(name, SYMBOLS);
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
      continue;
    }
    const { __errno_location, ...functions } = library.symbols;
    // Each thread has one errno at a place of its own, and a module belongs to one thread.
    const place = __errno_location();
    if (place === null) continue;
    const move = dlopen(name, MOVE).symbols.syscall;
    loaded = {
      ...functions,
      read: (fd, bytes, length) => move(MOVES.read, fd, bytes, length as Pointer),
      write: (fd, bytes, length) => move(MOVES.write, fd, bytes, length as Pointer),
      errno: () => read.i32(place, 0),
    };
    return loaded;
  }
  throw new StackError(
    "ENOTSUP",
    `No C library was found (tried ${LIBRARIES.join(" and ")}): ${reason}. Use glibc or musl on x64 or arm64, or memoryPair().`,
  );
}

/** `text` as C wants it. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}
