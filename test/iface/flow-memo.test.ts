import { describe, expect, test } from "bun:test";
import { type Random, randomBelow, seededRandom } from "../../src/random.ts";
import { checksum } from "../../src/wire/checksum.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { ACK, FIN, finishTcpChecksum, PSH, RST } from "../../src/wire/tcp.ts";
import { Both, CLOCK, IRS, PEER, US } from "./flow-pair.ts";

/**
 * Header prediction for the flow seen last must change nothing but the time it takes: the same packets go to a stack that
 * can predict and to one that can't, whose packets lie where no words can be compared, and both must do the same.
 */

const PACKETS = 4_000;

/** Sums are made right again, so that what was changed is all that is wrong. */
function completed(packet: Uint8Array): Uint8Array {
  const header = (packet[0] & 15) * 4;
  if (header < 20 || packet.length < header + 20) return packet;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  view.setUint16(10, 0);
  view.setUint16(10, checksum(packet, 0, header));
  finishTcpChecksum(packet, header, packet.length - header, parseAddress(PEER), parseAddress(US), true);
  return packet;
}

const below = (random: Random, limit: number) => randomBelow(random, limit);

for (const timestamps of [false, true]) {
  const headers = timestamps ? 52 : 40;
  describe(`a packet${timestamps ? " with timestamps" : ""} with`, () => {
    for (let at = 0; at <= headers; at++) {
      const tcp = at < headers ? `byte ${at - 20} of TCP's header` : "text";
      test(`${at < 20 ? `byte ${at} of IP's header` : tcp} changed, with right sums and with wrong ones`, () => {
        for (const repaired of [true, false]) {
          for (const bit of [1, 2, 4, 8, 16, 32, 64, 128]) {
            const both = new Both({ timestamps });
            both.open();
            const ack = both.iss + 1;
            both.arrives(both.segment({ seq: IRS + 1, ack }, 100));
            const changed = both.segment({ seq: IRS + 101, ack }, 100);
            changed[at] ^= bit;
            both.arrives(repaired ? completed(changed) : changed);
            both.arrives(both.segment({ seq: IRS + 101, ack }, 100));
            both.arrives(both.segment({ seq: IRS + 201, ack }, 100));
            // The same in the middle of a train.
            const [first, second, third, fourth] = [301, 401, 501, 601].map((seq) =>
              both.segment({ seq: IRS + seq, ack }, 100),
            );
            const other = third.slice();
            other[at] ^= bit;
            both.arrive([first, second, repaired ? completed(other) : other, third, fourth]);
          }
        }
      });
    }
  });
}

test("trains that exceed the window are treated alike", () => {
  for (const timestamps of [false, true]) {
    const both = new Both({ timestamps });
    both.open();
    both.reads = false;
    const ack = both.iss + 1;
    // The buffer holds 256 KiB, and nobody reads.
    for (let round = 0; round < 6; round++) {
      const seq = IRS + 1 + both.bytesReceived;
      both.arrive(Array.from({ length: 50 }, (_, i) => both.segment({ seq: seq + i * 1_000, ack }, 1_000)));
    }
    expect(both.bytesReceived).toBeGreaterThan(200_000);
    expect(both.stats.tcpUnacceptable).toBeGreaterThan(0);
  }
});

test("any packets of a conversation, in any order, are treated alike", () => {
  const random = seededRandom(7);
  let predicted = 0;
  for (let round = 0; round < 8; round++) {
    const both = new Both({ timestamps: (round & 2) !== 0 });
    both.open();
    const ack = both.iss + 1;
    let seq = IRS + 1;
    let waiting: Uint8Array[] = [];
    for (let i = 0; i < PACKETS / 8; i++) {
      // Many of one length, for trains.
      const length = below(random, 4) === 0 ? 1 + below(random, 1_000) : below(random, 12) === 0 ? 0 : 700;
      const flags = below(random, 3) === 0 ? ACK | PSH : ACK;
      let packet = both.segment({ seq, ack, flags }, length);
      const fate = below(random, 12);
      if (fate === 0) packet = both.segment({ seq: seq + 500 - below(random, 1_000), ack }, length);
      else if (fate === 1) packet = both.segment({ seq, ack, window: below(random, 65_536) }, length);
      else if (fate === 2) packet = packet.slice(0, below(random, packet.length + 1));
      else if (fate === 3) packet = Uint8Array.from([...packet, 1, 2, 3]);
      else if (fate === 5) packet = both.segment({ seq, ack, tsVal: CLOCK - below(random, 50) }, length);
      else if (fate === 4) packet[below(random, packet.length)] ^= 1 << below(random, 8);
      waiting.push(packet);
      if (below(random, 4) === 0) {
        both.arrive(waiting, below(random, 3) === 0);
        waiting = [];
      }
      if (fate > 5) {
        seq += length;
        predicted++;
      }
    }
    if (waiting.length > 0) both.arrive(waiting);
    both.arrives(both.segment({ seq, ack, flags: round & 1 ? ACK | FIN : ACK | RST }, 5));
    both.arrives(both.segment({ seq: seq + 6, ack }, 5));
  }
  expect(predicted).toBeGreaterThan(PACKETS / 4);
});
