import { type Device, Frame } from "../../src/device.ts";

/** One pass over what has arrived; answers every IPv4 echo request, and returns how many frames there were. */
export function answerEchoes(device: Device): number {
  const frame = new Frame(new Uint8Array(0));
  let frames = 0;
  while (device.receive(frame)) {
    frames++;
    const { bytes, offset, length } = frame;
    if (bytes[offset] !== 0x45 || bytes[offset + 9] !== 1 || bytes[offset + 20] !== 8) continue;
    const out = device.transmit(length);
    if (out === null) continue;
    out.bytes.set(bytes.subarray(offset, offset + length), out.offset);
    out.bytes.set(bytes.subarray(offset + 16, offset + 20), out.offset + 12);
    out.bytes.set(bytes.subarray(offset + 12, offset + 16), out.offset + 16);
    setChecksum(out.bytes, out.offset + 20, length - 20, 0);
    device.commit(out);
  }
  return frames;
}

/** An IPv4 echo request of `length` bytes. */
export function echoRequest(from: string, to: string, length = 64): Uint8Array {
  const packet = new Uint8Array(length);
  packet.set([0x45, 0, length >> 8, length & 255, 0, 1, 0, 0, 64, 1, 0, 0]);
  packet.set(from.split(".").map(Number), 12);
  packet.set(to.split(".").map(Number), 16);
  packet.set([0, 0, 0, 7, 0, 1], 22);
  const sum = checksum(packet, 0, 20);
  packet.set([sum >> 8, sum & 255], 10);
  setChecksum(packet, 20, length - 20, 8);
  return packet;
}

function setChecksum(bytes: Uint8Array, at: number, length: number, type: number): void {
  bytes.set([type, 0, 0, 0], at);
  const sum = checksum(bytes, at, length);
  bytes.set([sum >> 8, sum & 255], at + 2);
}

function checksum(bytes: Uint8Array, at: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += i % 2 === 0 ? bytes[at + i] << 8 : bytes[at + i];
  return 0xffff - (sum % 0xffff);
}
