/** Files that {@link capture} records into. */

import { rmSync } from "node:fs";
import { extname } from "node:path";
import { StackError } from "../src/errors.ts";
import type { CapturedFrame, CaptureInterface, CaptureSink } from "./capture.ts";
import { type CaptureFormat, CaptureWriter } from "./capture-writer.ts";
import { PCAP } from "./pcap.ts";
import { PCAPNG } from "./pcapng.ts";

export interface CaptureFileOptions {
  /** A record reaches the file after this many milliseconds at the latest; 100 unless told. */
  readonly flushAfterMs?: number;
  /** Bytes that are collected before they are written; 65,536 unless told. */
  readonly bufferSize?: number;
  /** A new file is begun before the next frame would make this one larger than that many bytes. */
  readonly rotateBytes?: number;
  /** A new file is begun with the first frame that comes that many seconds after the file was begun. */
  readonly rotateSeconds?: number;
  /** With one of the two above: only the last so many files are kept, older ones are deleted. All unless told. */
  readonly rotateFiles?: number;
}

class CaptureFile implements CaptureSink {
  private readonly path: string;
  private readonly format: CaptureFormat;
  private readonly buffer: Uint8Array;
  private readonly flushAfterMs: number;
  private readonly rotateBytes: number;
  private readonly rotateMs: number;
  private readonly rotateFiles: number;
  private readonly flushLater: () => void;
  private readonly interfaces: CaptureInterface[] = [];
  private out: CaptureWriter;
  /** The number of the file that is being written, where there are several. */
  private number = 1;
  /** Bytes of the file before its first record. */
  private headerSize = 0;
  /** The time of the file's first record. */
  private begunAt = Number.NaN;
  private timer: ReturnType<typeof setTimeout> | null = null;
  /** The time of the oldest record that is not in the file yet. */
  private oldest = 0;
  private users = 0;
  /** An error of a write that nobody waited for; thrown by the next call. */
  private failed: unknown = null;
  private closed = false;

  constructor(path: string, format: CaptureFormat, options: CaptureFileOptions) {
    this.path = path;
    this.format = format;
    this.flushAfterMs = options.flushAfterMs ?? 100;
    this.rotateBytes = options.rotateBytes ?? Number.POSITIVE_INFINITY;
    this.rotateMs = (options.rotateSeconds ?? Number.POSITIVE_INFINITY) * 1000;
    this.rotateFiles = options.rotateFiles ?? Number.POSITIVE_INFINITY;
    // What is larger is written in pieces; so that these are not tiny, a little there must be.
    this.buffer = new Uint8Array(new ArrayBuffer(Math.max(options.bufferSize ?? 65_536, 256)));
    this.out = new CaptureWriter(this.pathOf(1), this.buffer);
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

  begin(source: CaptureInterface): number {
    const { interfaces, out } = this;
    if (this.closed) {
      throw new StackError("EINVAL", `The capture file ${this.path} is closed: make another one.`);
    }
    const isFirst = interfaces.length === 0;
    if (!isFirst) this.format.writeInterface(out, interfaces, source);
    interfaces.push(source);
    this.users++;
    try {
      if (isFirst) this.format.writeHeader(out, interfaces);
      // At once: a file without a header is one that no program reads.
      this.flush();
      if (isFirst) this.headerSize = out.size;
    } catch (error) {
      this.release();
      throw error;
    }
    return interfaces.length - 1;
  }

  record(frame: CapturedFrame): void {
    if (this.failed !== null) throw this.failed;
    if (this.closed) return;
    const { time } = frame;
    if (this.isFull(frame)) this.rotate();
    // A program that polls in a loop of its own never lets the timer run.
    else if (!this.out.empty && time - this.oldest >= this.flushAfterMs) this.flush();
    if (Number.isNaN(this.begunAt)) this.begunAt = time;
    if (this.out.empty) {
      this.oldest = time;
      if (this.timer === null) {
        this.timer = setTimeout(this.flushLater, this.flushAfterMs);
        this.timer.unref();
      }
    }
    try {
      this.format.writeRecord(this.out, frame);
    } catch (error) {
      this.failed = error;
      throw error;
    }
  }

  flush(): void {
    if (this.failed !== null) throw this.failed;
    if (this.closed) return;
    try {
      this.out.flush();
    } catch (error) {
      this.failed = error;
      throw error;
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

  /** A file has one frame at least, however large that is. */
  private isFull(frame: CapturedFrame): boolean {
    const { out } = this;
    if (out.size + this.format.recordSize(frame) > this.rotateBytes && out.size > this.headerSize)
      return true;
    return frame.time - this.begunAt >= this.rotateMs;
  }

  private rotate(): void {
    this.flush();
    try {
      this.out.close();
      this.number++;
      if (this.number > this.rotateFiles)
        rmSync(this.pathOf(this.number - this.rotateFiles), { force: true });
      this.out = new CaptureWriter(this.pathOf(this.number), this.buffer);
    } catch (error) {
      this.failed = error;
      this.release(false);
      throw error;
    }
    this.begunAt = Number.NaN;
    this.format.writeHeader(this.out, this.interfaces);
    this.headerSize = this.out.size;
    this.flush();
  }

  /** `frames.pcap`, or `frames-00001.pcap` where more files may follow. */
  private pathOf(number: number): string {
    const { path } = this;
    if (this.rotateBytes === Number.POSITIVE_INFINITY && this.rotateMs === Number.POSITIVE_INFINITY)
      return path;
    const extension = extname(path);
    return `${path.slice(0, path.length - extension.length)}-${String(number).padStart(5, "0")}${extension}`;
  }

  private release(isOpen = true): void {
    this.closed = true;
    if (this.timer !== null) clearTimeout(this.timer);
    process.off("exit", this.flushLater);
    if (isOpen) this.out.close();
  }
}

/**
 * A capture file for {@link capture}: pcapng where its name ends with `.pcapng`, and classic pcap (with nanoseconds)
 * otherwise. An existing file is overwritten.
 *
 * A pcapng file may hold what several devices carry, each as an interface with its name, and tells the direction of
 * each frame. A pcap file may hold several devices of one medium, and tells neither.
 *
 * Records are collected and written together: when the buffer is full, a tenth of a second after the first of them,
 * at `flush()`, when the last device is closed and when the process exits. So `tail -f frames.pcap | tcpdump -r -`
 * works.
 *
 * With `rotateBytes` or `rotateSeconds` the files are called `NAME-00001.pcap`, `NAME-00002.pcap`, and so on; each
 * can be read by itself.
 *
 * @param path where to write; relative to the working directory
 * @throws StackError `ENOENT` or `EACCES` where the file can't be created, `EINVAL` for a bad option
 */
export function captureFile(path: string, options: CaptureFileOptions = {}): CaptureSink {
  return open(path, path.endsWith(".pcapng") ? PCAPNG : PCAP, options);
}

/** A capture file of the classic pcap format, whatever its name; see {@link captureFile}. */
export function pcapFile(path: string, options: CaptureFileOptions = {}): CaptureSink {
  return open(path, PCAP, options);
}

/** A capture file of the pcapng format, whatever its name; see {@link captureFile}. */
export function pcapngFile(path: string, options: CaptureFileOptions = {}): CaptureSink {
  return open(path, PCAPNG, options);
}

function open(path: string, format: CaptureFormat, options: CaptureFileOptions): CaptureSink {
  const { rotateBytes, rotateSeconds, rotateFiles } = options;
  for (const [name, value] of Object.entries({ rotateBytes, rotateFiles })) {
    if (value === undefined || (Number.isInteger(value) && value >= 1)) continue;
    throw new StackError("EINVAL", `${name} is ${value}; give a whole number from 1, or leave it out.`);
  }
  if (rotateSeconds !== undefined && !(rotateSeconds > 0)) {
    throw new StackError(
      "EINVAL",
      `rotateSeconds is ${rotateSeconds}; give a number of seconds, or leave it out.`,
    );
  }
  if (rotateFiles !== undefined && rotateBytes === undefined && rotateSeconds === undefined) {
    throw new StackError(
      "EINVAL",
      "rotateFiles says how many files to keep, but not when to begin a new one: give rotateBytes or rotateSeconds, too.",
    );
  }
  return new CaptureFile(path, format, options);
}
