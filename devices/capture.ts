/** Records what a device carries, for a sink such as a file that tcpdump and Wireshark read. */

import type { Device, Frame, Medium } from "../src/device.ts";
import { StackError } from "../src/errors.ts";
import { read16, write16 } from "../src/wire/bytes.ts";
import { checksumField, findTransport, TransportPlace, transportChecksum } from "../src/wire/offload.ts";
import { type Observer, observe } from "./observe.ts";

export const LINKTYPE_ETHERNET = 1;
/** Packets begin with an IPv4 or IPv6 header. */
export const LINKTYPE_RAW = 101;

/** What tcpdump takes when it is not told. */
export const DEFAULT_SNAPLEN = 262_144;

/** What is recorded of one device. */
export interface CaptureInterface {
  /** `LINKTYPE_RAW`, ... */
  readonly linkType: number;
  /** Its records hold this many bytes at most. */
  readonly snaplen: number;
  /** The interface's name, where it has one. */
  readonly name: string | null;
}

/** One frame, as a sink sees it: the first `captured` of its `length` bytes, at `bytes[offset]`. */
export class CapturedFrame {
  bytes: Uint8Array = new Uint8Array(0);
  offset = 0;
  captured = 0;
  length = 0;
  /** Milliseconds since 1970, with fractions. */
  time = 0;
  /** The same time in whole seconds, and the nanoseconds beyond. */
  seconds = 0;
  nanoseconds = 0;
  /** The number that the sink's `begin` has given the device. */
  interfaceId = 0;
  /** Sent by the stack, not received. */
  sent = false;
}

/**
 * Where captured frames go. One sink may serve several devices; each calls `begin` first, and `end` last or when `record`
 * has thrown.
 */
export interface CaptureSink {
  /** A device starts to record. Returns the number that its frames will have. */
  begin(source: CaptureInterface): number;
  /** One frame; the record is used again for the next one. TCP and UDP checksums are complete. */
  record(frame: CapturedFrame): void;
  /** Makes everything recorded so far visible to others. */
  flush(): void;
  end(): void;
}

export interface CaptureOptions {
  /** Bytes of each frame that are kept, from 1; 262,144 unless told. */
  readonly snaplen?: number;
  /** What the interface is called in a pcapng file; unless told the device's `name`, where it has one. */
  readonly name?: string;
  /** Milliseconds since 1970, with fractions; the system's clock unless told. */
  readonly clock?: () => number;
  /** Told, once, why recording has stopped; a warning of the process unless given. The device works on. */
  readonly onError?: (error: Error) => void;
}

/** One for all: it is used and forgotten within a call. */
const place = new TransportPlace();

class Recorder implements Observer {
  private readonly medium: Medium;
  private readonly snaplen: number;
  private readonly clock: () => number;
  private readonly onError: (error: Error) => void;
  private readonly captured = new CapturedFrame();
  /** `null` once it has failed or the device is closed. */
  private sink: CaptureSink | null;

  constructor(
    sink: CaptureSink,
    medium: Medium,
    snaplen: number,
    interfaceId: number,
    options: CaptureOptions,
  ) {
    this.sink = sink;
    this.medium = medium;
    this.snaplen = snaplen;
    this.captured.interfaceId = interfaceId;
    this.clock = options.clock ?? (() => performance.timeOrigin + performance.now());
    this.onError = options.onError ?? ((error) => process.emitWarning(error));
  }

  received(frame: Frame): void {
    this.record(frame, false);
  }

  sending(frame: Frame): void {
    this.record(frame, true);
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

  private record(frame: Frame, sent: boolean): void {
    const { sink, captured } = this;
    if (sink === null) return;
    const { bytes, offset, length } = frame;
    captured.bytes = bytes;
    captured.offset = offset;
    captured.captured = Math.min(length, this.snaplen);
    captured.length = length;
    captured.sent = sent;
    setTime(captured, this.clock());
    try {
      if (frame.checksumOffloaded) this.recordCompleted(sink, frame);
      else sink.record(captured);
    } catch (error) {
      this.sink = null;
      giveUp(sink);
      this.report(error);
    }
  }

  /** The record has the right checksum; the frame keeps what stands in its field, which the device counts on. */
  private recordCompleted(sink: CaptureSink, frame: Frame): void {
    const { bytes, offset, length } = frame;
    const found = findTransport(bytes, offset, length, this.medium, place);
    const field = found ? checksumField(bytes, place) : -1;
    if (field < 0) {
      sink.record(this.captured);
      return;
    }
    const stood = read16(bytes, field);
    write16(bytes, field, transportChecksum(bytes, place, field));
    try {
      sink.record(this.captured);
    } finally {
      write16(bytes, field, stood);
    }
  }

  private report(error: unknown): void {
    this.onError(error instanceof Error ? error : new Error(String(error)));
  }
}

/** So that a sink that has failed gives back what it has open. */
function giveUp(sink: CaptureSink): void {
  try {
    sink.end();
  } catch {
    // Why it failed is known.
  }
}

/** Sets the record's time, in milliseconds since 1970, in all its forms. */
export function setTime(captured: CapturedFrame, time: number): void {
  let seconds = Math.floor(time / 1000);
  let nanoseconds = Math.round((time - seconds * 1000) * 1e6);
  if (nanoseconds >= 1e9) {
    seconds++;
    nanoseconds -= 1e9;
  }
  captured.time = time;
  captured.seconds = seconds;
  captured.nanoseconds = nanoseconds;
}

/**
 * A device that records every frame that `device` carries, in both directions.
 *
 * A frame is recorded when it is received or committed, as a capture on a network interface would: a super-segment is
 * one record. Checksums that the device was to compute are complete in the record. A sink that fails (a full disk)
 * ends the recording, not the device.
 *
 * @param device the device to wrap; closing the wrapper closes it, and ends the recording
 * @param sink where the frames go, usually a file of {@link captureFile}
 * @throws StackError `EINVAL` for a bad `snaplen`, or where `sink` does not take frames of this medium
 *
 * @example
 * ```ts
 * const device = capture(openTun({ hostAddress: "192.168.69.100/24" }), captureFile("/tmp/tapwire-example.pcapng"));
 * device.close();
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
  const { medium } = device.capabilities;
  const interfaceId = sink.begin({
    linkType: medium === "ip" ? LINKTYPE_RAW : LINKTYPE_ETHERNET,
    snaplen,
    name: options.name ?? nameOf(device),
  });
  return observe(device, new Recorder(sink, medium, snaplen, interfaceId, options));
}

/** Devices that stand for an interface of the system have its name. */
function nameOf(device: Device): string | null {
  return "name" in device && typeof device.name === "string" ? device.name : null;
}
