import { CapturedFrame, type CaptureSink } from "../../devices/capture.ts";
import type { Medium } from "../../src/index.ts";
import { formatPacket } from "../../src/wire/print.ts";
import { formatEthernet } from "../../src/wire/print-ethernet.ts";
import type { Filter } from "./filter.ts";

/** What happens to each frame that passes the filter of tcpdump.ts: a line is printed, or a record written. */

export interface DumpOptions {
  readonly medium: Medium;
  readonly filter: Filter;
  /** Frames after which it is enough. */
  readonly count: number;
  /** `-e`: lines show hardware addresses. */
  readonly linkHeaders: boolean;
  /** Where records go; lines are printed where this is `null`. */
  readonly sink: CaptureSink | null;
  readonly print: (line: string) => void;
}

export class Dump {
  /** Frames that were looked at, and those of them that the filter took. */
  seen = 0;
  taken = 0;
  private readonly options: DumpOptions;
  private readonly captured = new CapturedFrame();

  constructor(options: DumpOptions, interfaceId: number) {
    this.options = options;
    this.captured.interfaceId = interfaceId;
  }

  get enough(): boolean {
    return this.taken >= this.options.count;
  }

  /**
   * One frame, in `bytes[offset .. offset + captured)` as far as it was captured.
   *
   * @param time milliseconds since 1970
   * @param length bytes that the frame had
   */
  frame(bytes: Uint8Array, offset: number, captured: number, length: number, time: number): void {
    const { filter, sink, print } = this.options;
    if (this.enough) return;
    this.seen++;
    if (!filter(bytes, offset, captured)) return;
    this.taken++;
    if (sink === null) print(`${formatTime(time)} ${this.format(bytes, offset, captured)}`);
    else sink.record(Object.assign(this.captured, { bytes, offset, captured, length, ...splitTime(time) }));
  }

  private format(bytes: Uint8Array, offset: number, length: number): string {
    const { medium, linkHeaders } = this.options;
    return medium === "ethernet"
      ? formatEthernet(bytes, offset, length, linkHeaders)
      : formatPacket(bytes, offset, length);
  }
}

function splitTime(time: number): { time: number; seconds: number; nanoseconds: number } {
  const seconds = Math.floor(time / 1000);
  return { time, seconds, nanoseconds: Math.min(999_999_999, Math.round((time - seconds * 1000) * 1e6)) };
}

/** The time of day with microseconds, as tcpdump prints it. */
function formatTime(time: number): string {
  const microseconds = Math.floor(time * 1000 + 0.5);
  const date = new Date(Math.floor(microseconds / 1000));
  const pad = (value: number, digits: number) => String(value).padStart(digits, "0");
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((value) => pad(value, 2))
    .join(":");
  return `${clock}.${pad(microseconds % 1_000_000, 6)}`;
}
