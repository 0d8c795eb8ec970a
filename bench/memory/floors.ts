/** The copies that a byte takes through two stacks which store it, and the device between. */

import { memoryPair } from "../../devices/index.ts";
import { Frame } from "../../src/index.ts";
import { copyBytes } from "../../src/storage/copy.ts";
import { frameMemory } from "../../src/wire/frame-memory.ts";

/** Bytes of a send buffer, of a receive buffer, and of what a program writes and reads at once. */
export const BUFFER_SIZE = 64 * 1024;
/** Text of a frame of 1,500 bytes with headers of 40. */
const PIECE = 1_460;
const HEADERS = 40;

/**
 * The copy floor: 64 KiB from the user into a ring, in pieces from there into a frame and from the frame into another
 * ring, and 64 KiB out of it. No protocol.
 */
export class CopyFloor {
  private readonly written = new Uint8Array(BUFFER_SIZE).map((_, i) => i);
  private readonly sendRing = new Uint8Array(BUFFER_SIZE);
  private readonly frame = frameMemory(HEADERS + PIECE);
  private readonly receiveRing = new Uint8Array(BUFFER_SIZE);
  private readonly read = new Uint8Array(BUFFER_SIZE);

  /** Moves so many bytes, a multiple of 64 KiB; returns ms. */
  move(bytes: number): number {
    const { written, sendRing, frame, receiveRing, read } = this;
    const start = performance.now();
    for (let moved = 0; moved < bytes; moved += BUFFER_SIZE) {
      copyBytes(written, 0, sendRing, 0, BUFFER_SIZE);
      for (let at = 0; at < BUFFER_SIZE; at += PIECE) {
        const length = Math.min(PIECE, BUFFER_SIZE - at);
        copyBytes(sendRing, at, frame, HEADERS, length);
        copyBytes(frame, HEADERS, receiveRing, at, length);
      }
      copyBytes(receiveRing, 0, read, 0, BUFFER_SIZE);
    }
    return performance.now() - start;
  }
}

/** The memory pair alone: ns a frame where `batch` frames of 1,500 bytes are committed, then received; nothing is written. */
export function frames(total: number, batch: number): number {
  const [left, right] = memoryPair();
  const frame = new Frame(new Uint8Array(0));
  let received = 0;
  const start = performance.now();
  for (let sent = 0; sent < total; sent += batch) {
    for (let i = 0; i < batch; i++) {
      const out = left.transmit(1500);
      if (out === null) throw new Error("the queue is full");
      left.commit(out);
    }
    while (right.receive(frame)) received += frame.length;
  }
  if (received !== Math.ceil(total / batch) * batch * 1500) throw new Error("frames were lost");
  return ((performance.now() - start) * 1e6) / total;
}
