/** Records what a device carries in the file format of tcpdump and Wireshark (classic pcap, nanosecond times). */

import { closeSync, openSync, writeSync } from "node:fs";
import type { Device, Frame } from "../src/device.ts";
import { StackError } from "../src/errors.ts";
import { type Observer, observe } from "./observe.ts";

export const LINKTYPE_ETHERNET = 1;
/** Packets begin with an IPv4 or IPv6 header. */
export const LINKTYPE_RAW = 101;

const MAGIC_NANOSECONDS = 0xa1b23c4d;
const FILE_HEADER = 24;
const RECORD_HEADER = 16;
/** What tcpdump takes when it is not told. */
const DEFAULT_SNAPLEN = 262_144;

/** Where captured frames go. One sink may serve several devices; each calls `begin` first and `end` last. */
export interface CaptureSink {
  /** A device with this link type starts to record; its records hold `snaplen` bytes at most. */
  begin(linkType: number, snaplen: number): void;
  /**
   * One frame: the first `captured` of its `length` bytes, at `bytes[offset]`, only valid during the call.
   * `time` is in milliseconds since 1970.
   */
  record(time: number, bytes: Uint8Array, offset: number, captured: number, length: number): void;
  /** Makes everything recorded so far visible to others. */
  flush(): void;
  end(): void;
}

export interface CaptureOptions {
  /** Bytes of each frame that are kept, from 1; 262,144 unless told. */
  readonly snaplen?: number;
  /** Milliseconds since 1970, with fractions; the system's clock unless told. */
  readonly clock?: () => number;
  /** Told, once, why recording has stopped; a warning of the process unless given. The device works on. */
  readonly onError?: (error: Error) => void;
}

class Recorder implements Observer {
  private readonly snaplen: number;
  private readonly clock: () => number;
  private readonly onError: (error: Error) => void;
  /** `null` once it has failed or the device is closed. */
  private sink: CaptureSink | null;

  constructor(sink: CaptureSink, snaplen: number, options: CaptureOptions) {
    this.sink = sink;
    this.snaplen = snaplen;
    this.clock = options.clock ?? (() => performance.timeOrigin + performance.now());
    this.onError = options.onError ?? ((error) => process.emitWarning(error));
  }

  received(frame: Frame): void {
    this.record(frame);
  }

  sending(frame: Frame): void {
    this.record(frame);
  }

  closing(): void {
    const { sink } = this;
    this.sink = null;
    try {
      sink?.end();
    } catch (error) {
      this.report(error);
    }
  }

  private record(frame: Frame): void {
    if (this.sink === null) return;
    const { bytes, offset, length } = frame;
    try {
      this.sink.record(this.clock(), bytes, offset, Math.min(length, this.snaplen), length);
    } catch (error) {
      this.sink = null;
      this.report(error);
    }
  }

  private report(error: unknown): void {
    this.onError(error instanceof Error ? error : new Error(String(error)));
  }
}

/**
 * A device that records every frame that `device` carries, in both directions.
 *
 * A frame is recorded when it is received or committed, as a capture on a network interface would. A sink that fails
 * (a full disk) ends the recording, not the device.
 *
 * @param device the device to wrap; closing the wrapper closes it, and ends the recording
 * @param sink where the frames go, usually {@link pcapFile}
 * @throws StackError `EINVAL` for a bad `snaplen`
 *
 * @example
 * ```ts
 * const device = capture(openTun({ hostAddress: "192.168.69.100/24" }), pcapFile("frames.pcap"));
 * ```
 */
export function capture(device: Device, sink: CaptureSink, options: CaptureOptions = {}): Device {
  const snaplen = options.snaplen ?? DEFAULT_SNAPLEN;
  if (!Number.isInteger(snaplen) || snaplen < 1) {
    throw new StackError(
      "EINVAL",
      `snaplen is ${snaplen}; give the number of bytes to keep of each frame, from 1.`,
    );
  }
  sink.begin(device.capabilities.medium === "ip" ? LINKTYPE_RAW : LINKTYPE_ETHERNET, snaplen);
  return observe(device, new Recorder(sink, snaplen, options));
}

export interface PcapFileOptions {
  /** A record reaches the file after this many milliseconds at the latest; 100 unless told. */
  readonly flushAfterMs?: number;
  /** Bytes that are collected before they are written; 65,536 unless told. */
  readonly bufferSize?: number;
}

class PcapFile implements CaptureSink {
  private readonly path: string;
  private readonly fd: number;
  private readonly buffer: Uint8Array;
  private readonly view: DataView;
  private readonly flushAfterMs: number;
  private readonly flushLater: () => void;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private used = 0;
  /** The time of the oldest record that is not in the file yet. */
  private oldest = 0;
  private linkType = -1;
  private users = 0;
  /** An error of a write that nobody waited for; thrown by the next call. */
  private failed: StackError | null = null;
  private closed = false;

  constructor(path: string, fd: number, options: PcapFileOptions) {
    this.path = path;
    this.fd = fd;
    this.flushAfterMs = options.flushAfterMs ?? 100;
    // Room for a record header at least; a frame that is larger than the rest is written in pieces.
    this.buffer = new Uint8Array(Math.max(options.bufferSize ?? 65_536, 256));
    this.view = new DataView(this.buffer.buffer);
    this.flushLater = () => {
      this.timer = null;
      try {
        this.flush();
      } catch {
        // Kept in `failed`.
      }
    };
    process.on("exit", this.flushLater);
  }

  begin(linkType: number, snaplen: number): void {
    if (this.linkType >= 0 && this.linkType !== linkType) {
      throw new StackError(
        "EINVAL",
        `${this.path} holds frames of another medium: use one capture file for IP devices and another for Ethernet.`,
      );
    }
    this.users++;
    if (this.linkType >= 0) return;
    this.linkType = linkType;
    this.view.setUint32(0, MAGIC_NANOSECONDS, true);
    this.view.setUint16(4, 2, true);
    this.view.setUint16(6, 4, true);
    this.view.setUint32(16, snaplen, true);
    this.view.setUint32(20, linkType, true);
    this.used = FILE_HEADER;
    try {
      // At once: a file without a header is one that no program reads.
      this.flush();
    } catch (error) {
      this.release();
      throw error;
    }
  }

  record(time: number, bytes: Uint8Array, offset: number, captured: number, length: number): void {
    if (this.closed) return;
    if (this.failed !== null) throw this.failed;
    if (this.used + RECORD_HEADER > this.buffer.length) this.flush();
    // A program that polls in a loop of its own never lets the timer run.
    else if (this.used > 0 && time - this.oldest >= this.flushAfterMs) this.flush();
    if (this.used === 0) {
      this.oldest = time;
      if (this.timer === null) {
        this.timer = setTimeout(this.flushLater, this.flushAfterMs);
        this.timer.unref();
      }
    }
    let seconds = Math.floor(time / 1000);
    let nanoseconds = Math.round((time - seconds * 1000) * 1e6);
    if (nanoseconds >= 1e9) {
      seconds++;
      nanoseconds -= 1e9;
    }
    const { view, used } = this;
    view.setUint32(used, seconds, true);
    view.setUint32(used + 4, nanoseconds, true);
    view.setUint32(used + 8, captured, true);
    view.setUint32(used + 12, length, true);
    this.used += RECORD_HEADER;
    let at = offset;
    const end = offset + captured;
    while (at < end) {
      if (this.used === this.buffer.length) this.flush();
      const part = Math.min(end - at, this.buffer.length - this.used);
      this.buffer.set(bytes.subarray(at, at + part), this.used);
      this.used += part;
      at += part;
    }
  }

  flush(): void {
    if (this.failed !== null) throw this.failed;
    if (this.closed) return;
    const { used } = this;
    this.used = 0;
    try {
      for (let written = 0; written < used; )
        written += writeSync(this.fd, this.buffer, written, used - written);
    } catch (error) {
      this.failed = new StackError(
        "EIO",
        `${this.path} can't be written (${text(error)}); the recording ends.`,
        {
          cause: error,
        },
      );
      throw this.failed;
    }
  }

  end(): void {
    if (--this.users > 0 || this.closed) return;
    try {
      this.flush();
    } finally {
      this.release();
    }
  }

  private release(): void {
    this.closed = true;
    if (this.timer !== null) clearTimeout(this.timer);
    process.off("exit", this.flushLater);
    closeSync(this.fd);
  }
}

/**
 * A capture file for {@link capture}. An existing file is overwritten.
 *
 * Records are collected and written together: when the buffer is full, a tenth of a second after the first of them,
 * at `flush()`, when the device is closed and when the process exits. So `tail -f frames.pcap | tcpdump -r -` works.
 *
 * @param path where to write; relative to the working directory
 * @throws StackError where the file can't be created
 */
export function pcapFile(path: string, options: PcapFileOptions = {}): CaptureSink {
  let fd: number;
  try {
    fd = openSync(path, "w", 0o600);
  } catch (error) {
    throw new StackError(
      isNotFound(error) ? "ENOENT" : "EACCES",
      `The capture file ${path} can't be created (${text(error)}): choose a directory that exists and may be written to.`,
      { cause: error },
    );
  }
  return new PcapFile(path, fd, options);
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
