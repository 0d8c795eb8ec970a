import { type Capabilities, type Device, type DeviceEvent, Frame } from "../../src/device.ts";

/** Sends `bytes` as one frame; fails where the device is full. */
export function send(device: Device, bytes: ArrayLike<number>): void {
  const frame = device.transmit(bytes.length);
  if (frame === null) throw new Error("the device is full");
  frame.bytes.set(bytes, frame.offset);
  device.commit(frame);
}

/** The next frame, copied, or `null`. */
export function receiveBytes(device: Device): number[] | null {
  const frame = new Frame(new Uint8Array(0));
  if (!device.receive(frame)) return null;
  return Array.from(frame.bytes.subarray(frame.offset, frame.offset + frame.length));
}

/** Every frame until there is none, copied. */
export function receiveAll(device: Device): number[][] {
  const frames: number[][] = [];
  for (let bytes = receiveBytes(device); bytes !== null; bytes = receiveBytes(device)) frames.push(bytes);
  return frames;
}

/** Waits until all that is deferred has run: microtasks and one turn of the event loop. */
export function laterTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}

/** A device whose events and capabilities the test makes. */
export interface EventfulDevice extends Device {
  capabilities: Capabilities;
  emit(event: DeviceEvent): void;
}

/** `device` as it is, but that the test says what befalls it. */
export function withEvents(device: Device): EventfulDevice {
  let callback: (event: DeviceEvent) => void = () => {};
  return {
    capabilities: device.capabilities,
    receive: (frame) => device.receive(frame),
    transmit: (length) => device.transmit(length),
    commit: (frame) => device.commit(frame),
    onReadable: (readable) => device.onReadable(readable),
    onWritable: (writable) => device.onWritable(writable),
    onEvent(given) {
      callback = given;
    },
    emit: (event) => callback(event),
    close: () => device.close(),
  };
}
