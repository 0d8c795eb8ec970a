import { describe, expect } from "bun:test";
import { END_OF_STREAM } from "../../../src/index.ts";
import { PAGE_SIZE } from "../../../src/storage/buffer-pool.ts";
import { type Conversation, established, scenario } from "../../support/tcp.ts";
import { bytesFrom, theirByte } from "../../support/tcp-segment.ts";

/** RFC 9293 3.10.3, RECEIVE, of bytes where they are. */

/** The peer sends `count` bytes from `from` on. */
function peerSends(s: Conversation, from: number, count: number): void {
  for (let sent = 0; sent < count; sent += 1_000) {
    s.receives({ seq: 1 + from + sent, length: Math.min(1_000, count - sent) });
    while (s.host.outbox.length > 0) s.sent();
  }
}

describe("consume", () => {
  scenario("shows what has arrived, in pieces of a page, and nothing twice", () => {
    const s = established({ wscale: 7 });
    peerSends(s, 0, 40_000);
    const seen = new Uint8Array(40_000);
    const lengths: number[] = [];
    let total = 0;
    const taken = s.socket.consume((bytes, offset, length) => {
      seen.set(bytes.subarray(offset, offset + length), total);
      total += length;
      lengths.push(length);
      return length;
    });
    expect(taken).toBe(40_000);
    expect(lengths).toEqual([PAGE_SIZE, PAGE_SIZE, 40_000 - 2 * PAGE_SIZE]);
    expect([...seen]).toEqual([...bytesFrom(theirByte, 0, 40_000)]);
    expect(s.socket.consume(() => 0)).toBe(0);
    expect(s.socket.readableBytes).toBe(0);
  });

  scenario("what the consumer leaves stays, and is shown again", () => {
    const s = established();
    peerSends(s, 0, 1_000);
    expect(s.socket.consume(() => 300)).toBe(300);
    expect(s.socket.readableBytes).toBe(700);
    const first: number[] = [];
    s.socket.consume((bytes, offset, length) => {
      first.push(bytes[offset], length);
      return 0;
    });
    expect(first).toEqual([theirByte(300), 700]);
  });

  scenario("what was taken gives the peer its window back", () => {
    const s = established({ tcp: { receiveBuffer: 4_000 }, mss: 1_000 });
    peerSends(s, 0, 4_000);
    expect(s.socket.info().rcvWnd).toBe(0);
    s.consumes(4_000);
    s.sends({ ack: 4_001, win: 4_000 });
  });

  scenario("the end of the stream, and what ended the connection, as in read", () => {
    const s = established();
    s.receives({ flags: "F.", seq: 1 });
    s.sends({ ack: 2 });
    expect(s.socket.consume(() => 0)).toBe(END_OF_STREAM);
    const t = established();
    t.receives({ flags: "R", seq: 1 });
    expect(() => t.socket.consume(() => 0)).toThrow("connection reset by the peer");
  });

  scenario("a consumer that takes more than there is, or no number, is told so, and nothing is lost", () => {
    const s = established();
    peerSends(s, 0, 100);
    for (const wrong of [101, -1, Number.NaN]) {
      expect(() => s.socket.consume(() => wrong)).toThrow("of 100 bytes: return 0 to 100");
    }
    expect(s.socket.readableBytes).toBe(100);
  });

  scenario("a consumer may abort the connection", () => {
    const s = established();
    peerSends(s, 0, 100);
    expect(
      s.socket.consume((_bytes, _offset, length) => {
        s.socket.abort();
        return length;
      }),
    ).toBe(0);
  });
});
