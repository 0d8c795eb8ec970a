import { closeSync, openSync, writeSync } from "node:fs";
import { StackError } from "../src/errors.ts";
import type { CapturedFrame, CaptureInterface } from "./capture.ts";

/** How frames are laid out in a file. Files are little-endian: readers take either order. */
export interface CaptureFormat {
  /** What a file begins with; there is one interface at least. */
  writeHeader(out: CaptureWriter, interfaces: readonly CaptureInterface[]): void;
  /** Another interface while the file is being written. @throws StackError where the format has no place for it */
  writeInterface(out: CaptureWriter, interfaces: readonly CaptureInterface[], added: CaptureInterface): void;
  /** Bytes that `writeRecord` will write. */
  recordSize(frame: CapturedFrame): number;
  writeRecord(out: CaptureWriter, frame: CapturedFrame): void;
}

/** Little-endian fields on their way into a file, collected in a buffer. */
export class CaptureWriter {
  readonly path: string;
  /** Bytes of this file so far, those in the buffer included. */
  size = 0;
  private readonly fd: number;
  private readonly buffer: Uint8Array;
  private readonly view: DataView;
  private used = 0;

  /** @throws StackError where the file can't be created */
  constructor(path: string, buffer: Uint8Array) {
    this.path = path;
    this.buffer = buffer;
    this.view = new DataView(buffer.buffer);
    try {
      this.fd = openSync(path, "w", 0o600);
    } catch (error) {
      throw new StackError(
        isNotFound(error) ? "ENOENT" : "EACCES",
        `The capture file ${path} can't be created (${text(error)}): choose a directory that exists and may be written to.`,
        { cause: error },
      );
    }
  }

  /** Whether the buffer holds nothing. */
  get empty(): boolean {
    return this.used === 0;
  }

  u16(value: number): void {
    this.reserve(2);
    this.view.setUint16(this.used, value, true);
    this.advance(2);
  }

  u32(value: number): void {
    this.reserve(4);
    this.view.setUint32(this.used, value, true);
    this.advance(4);
  }

  zeros(count: number): void {
    for (let i = 0; i < count; i++) {
      this.reserve(1);
      this.buffer[this.used] = 0;
      this.advance(1);
    }
  }

  /** Copies bytes, through the buffer piece by piece where they are more than it holds. */
  copy(bytes: Uint8Array, offset: number, length: number): void {
    let at = offset;
    const end = offset + length;
    while (at < end) {
      this.reserve(1);
      const part = Math.min(end - at, this.buffer.length - this.used);
      this.buffer.set(bytes.subarray(at, at + part), this.used);
      this.advance(part);
      at += part;
    }
  }

  /** Writes the buffer to the file. @throws StackError `EIO` */
  flush(): void {
    const { used } = this;
    this.used = 0;
    try {
      for (let written = 0; written < used; ) {
        written += writeSync(this.fd, this.buffer, written, used - written);
      }
    } catch (error) {
      throw new StackError("EIO", `${this.path} can't be written (${text(error)}); the recording ends.`, {
        cause: error,
      });
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  private reserve(count: number): void {
    if (this.used + count > this.buffer.length) this.flush();
  }

  private advance(count: number): void {
    this.used += count;
    this.size += count;
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
