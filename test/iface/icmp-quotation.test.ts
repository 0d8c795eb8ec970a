import { expect, test } from "bun:test";
import { memoryPair } from "../../devices/memory.ts";
import { Frame } from "../../src/device.ts";
import { Stack } from "../../src/index.ts";
import { udpPacket } from "../support/packets.ts";

test("a datagram whose checksum the device was to fill in is quoted with the right one", () => {
  const [left, right] = memoryPair({ offload: true });
  const stack = new Stack({ memory: 1 << 20, maxSockets: 16 });
  stack.addInterface({ device: left, addresses: ["10.0.0.1/24"] });
  const datagram = udpPacket({ from: "10.0.0.2", to: "10.0.0.1" }, 1_000, 9, Uint8Array.of(1, 2, 3, 4, 5));
  const frame = right.transmit(datagram.length)!;
  frame.bytes.set(datagram, frame.offset);
  // Something that is not the checksum, such as the sum of the pseudo-header.
  frame.bytes.set([0x12, 0x34], frame.offset + 26);
  frame.checksumOffloaded = true;
  right.commit(frame);
  stack.poll(0);
  const answer = new Frame(new Uint8Array(0));
  expect(right.receive(answer)).toBe(true);
  const quoted = answer.bytes.subarray(answer.offset + 28, answer.offset + answer.length);
  expect(Array.from(quoted)).toEqual(Array.from(datagram));
});
