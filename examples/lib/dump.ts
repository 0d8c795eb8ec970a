import {
  CapturedFrame,
  type CaptureSink,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  setTime,
} from "../../devices/capture.ts";
import { type Device, Frame, type Medium } from "../../src/index.ts";
import { completeChecksum } from "../../src/wire/offload.ts";
import { formatPacket } from "../../src/wire/print.ts";
import { formatEthernet } from "../../src/wire/print-ethernet.ts";
import { Failure } from "./command.ts";
import type { Filter } from "./filter.ts";

/** What happens to each frame that passes the filter of tcpdump.ts: a line is printed, or a record written. */

export interface DumpOptions {
  /** For what frames start with. */
  readonly filters: Readonly<Record<Medium, Filter>>;
  /** Frames after which it is enough. */
  readonly count: number;
  /** `-e`: lines show hardware addresses. */
  readonly linkHeaders: boolean;
  /** Where records go, and which the dump ends; lines are printed where this is `null`. */
  readonly sink: CaptureSink | null;
  readonly print: (line: string) => void;
}

/** Frames that are taken in a row; then the rest of the program, such as Ctrl-C, has its turn. */
const BATCH = 64;
/** Packets of either version, or of one of them (https://www.tcpdump.org/linktypes.html). */
const IP_LINKTYPES = [LINKTYPE_RAW, 228, 229];
/** No frame is cut short. */
const SNAPLEN = 262_144;

/**
 * What frames of a capture start with.
 *
 * @throws Failure for a link type that is neither Ethernet nor IP
 */
export function mediumOf(linkType: number, name: string): Medium {
  if (linkType === LINKTYPE_ETHERNET) return "ethernet";
  if (IP_LINKTYPES.includes(linkType)) return "ip";
  throw new Failure(
    `The capture ${name} has frames of link type ${linkType}; only Ethernet and IP can be read.`,
  );
}

export class Dump {
  /** Frames that were looked at, and those of them that the filter took. */
  seen = 0;
  taken = 0;
  private readonly options: DumpOptions;
  private readonly captured = new CapturedFrame();
  /** What the sink calls the frames of a medium. */
  private readonly interfaces = new Map<Medium, number>();

  constructor(options: DumpOptions) {
    this.options = options;
  }

  get enough(): boolean {
    return this.taken >= this.options.count;
  }

  /** Frames of this medium may come: a file for them has its header from now on. */
  begin(medium: Medium): void {
    const { sink } = this.options;
    if (sink === null || this.interfaces.has(medium)) return;
    const linkType = medium === "ethernet" ? LINKTYPE_ETHERNET : LINKTYPE_RAW;
    this.interfaces.set(medium, sink.begin({ linkType, snaplen: SNAPLEN, name: null }));
  }

  /**
   * One frame, in `bytes[offset .. offset + captured)` as far as it was captured.
   *
   * @param medium what it starts with
   * @param length bytes that the frame had
   * @param time milliseconds since 1970
   * @throws StackError EINVAL where the file cannot hold a second medium, EIO where it cannot be written
   */
  frame(
    medium: Medium,
    bytes: Uint8Array,
    offset: number,
    captured: number,
    length: number,
    time: number,
  ): void {
    const { filters, sink, print, linkHeaders } = this.options;
    if (this.enough) return;
    this.seen++;
    if (!filters[medium](bytes, offset, captured)) return;
    this.taken++;
    if (sink !== null) {
      this.begin(medium);
      const interfaceId = this.interfaces.get(medium);
      setTime(this.captured, time);
      sink.record(Object.assign(this.captured, { bytes, offset, captured, length, interfaceId }));
      return;
    }
    const text =
      medium === "ethernet"
        ? formatEthernet(bytes, offset, captured, linkHeaders)
        : formatPacket(bytes, offset, captured);
    print(`${formatTime(time)} ${text}`);
  }

  /** Takes what a device receives; resolves when it is enough. */
  watch(device: Device): Promise<void> {
    const { medium } = device.capabilities;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const frame = new Frame(new Uint8Array(0));
    const take = () => {
      for (let i = 0; i < BATCH && !this.enough; i++) {
        if (!device.receive(frame)) return;
        const { bytes, offset, length } = frame;
        if (frame.checksumOffloaded) completeChecksum(bytes, offset, length, medium);
        this.frame(medium, bytes, offset, length, length, performance.timeOrigin + performance.now());
      }
      if (this.enough) resolve();
      else setImmediate(work);
    };
    const work = () => {
      try {
        take();
      } catch (error) {
        reject(error);
      }
    };
    this.begin(medium);
    device.onReadable(work);
    work();
    return promise;
  }

  /** Nothing more comes. A file without frames is a capture, too. */
  end(): void {
    if (this.interfaces.size === 0) this.begin("ethernet");
    this.options.sink?.end();
  }
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
