import { describe, expect, test } from "bun:test";
import { randomBelow, seededRandom } from "../../src/random.ts";
import { PAGE_SIZE } from "../../src/storage/buffer-pool.ts";
import { ACK, FIN, PSH } from "../../src/wire/tcp.ts";
import { Both, IRS, type Policy, type Setting } from "./flow-pair.ts";

/** Trains where somebody may look at the connection on the way, and where frames have a header of their link. */

const LENGTH = 600;
const CARS = 12;

/** A train of `CARS` packets, and what the stacks have seen of the text before. */
function train(both: Both, from = 1): Uint8Array[] {
  const ack = both.iss + 1;
  return Array.from({ length: CARS }, (_, i) =>
    both.segment({ seq: IRS + from + i * LENGTH, ack, flags: i % 5 === 4 ? ACK | PSH : ACK }, LENGTH),
  );
}

const MIDDLE = 4;
const onlyAt =
  (act: (socket: Parameters<Policy>[0]) => void, taken = (length: number) => length): Policy =>
  (socket, piece, length) => {
    if (piece !== MIDDLE) return length;
    act(socket);
    return taken(length);
  };

const POLICIES: Readonly<Record<string, Policy>> = {
  "takes everything": (_socket, _piece, length) => length,
  "takes nothing": () => 0,
  "takes part of each piece": (_socket, _piece, length) => length - 1,
  "leaves one piece": onlyAt(
    () => {},
    () => 0,
  ),
  "leaves a part of one": onlyAt(
    () => {},
    (length) => length >> 1,
  ),
  answers: (socket, _piece, length) => {
    socket.write(new Uint8Array(10));
    return length;
  },
  "shuts down": onlyAt((socket) => socket.shutdown()),
  closes: onlyAt((socket) => socket.close()),
  "closes and leaves the rest": onlyAt(
    (socket) => socket.close(),
    () => 1,
  ),
  aborts: onlyAt((socket) => socket.abort()),
  "is taken away": onlyAt((socket) => {
    socket.consumer = null;
  }),
  "is replaced": onlyAt((socket) => {
    socket.consumer = (_bytes, _offset, length) => length - 2;
  }),
  "starts a trace": onlyAt((socket) => void socket.startTrace()),
  "makes the buffer smaller": onlyAt((socket) => socket.tune({ receiveBuffer: 8_192 })),
  "wants ACKs at once": onlyAt((socket) => socket.quickAck(true)),
  throws: onlyAt(() => {
    throw new Error("on the way");
  }),
  "takes more than there is": onlyAt(
    () => {},
    (length) => length + 1,
  ),
};

describe("a train is the same as its packets one by one, where the consumer", () => {
  for (const [what, policy] of Object.entries(POLICIES)) {
    for (const timestamps of [false, true]) {
      for (const vlan of [undefined, 0]) {
        const where = `${timestamps ? ", with timestamps" : ""}${vlan === undefined ? "" : ", on Ethernet"}`;
        test(`${what}${where}`, () => {
          const both = new Both({ timestamps, policy, ...(vlan === undefined ? {} : { vlan }) });
          both.open();
          both.arrive(train(both));
          expect(both.bytesReceived).toBeGreaterThan(0);
          both.arrive(train(both));
          both.arrive(train(both, 1 + CARS * LENGTH));
          both.arrives(both.segment({ seq: IRS + 1 + both.bytesReceived, ack: both.iss + 1 }, LENGTH));
        });
      }
    }
  }

  test("leaves more than the window holds", () => {
    for (const timestamps of [false, true]) {
      const both = new Both({ timestamps, policy: () => 0 });
      both.open();
      both.reads = false;
      for (let round = 0; round < 45; round++) both.arrive(train(both, 1 + both.bytesReceived));
      expect(both.bytesReceived).toBeGreaterThan(200_000);
      expect(both.stats.tcpUnacceptable).toBeGreaterThan(0);
    }
  });

  test("uses up the pages that what it leaves would need", () => {
    const greedy: Policy = (socket, piece, length) => {
      if (piece < MIDDLE) return length;
      while (socket.write(new Uint8Array(1_000)) > 0);
      return 0;
    };
    const both = new Both({ policy: greedy, memory: 4 * PAGE_SIZE });
    both.open();
    both.reads = false;
    for (let round = 0; round < 6; round++) both.arrive(train(both, 1 + both.bytesReceived));
    expect(both.stats.tcpNoBuffer).toBeGreaterThan(0);
  });

  test("has any of these whims, and packets are changed", () => {
    const random = seededRandom(11);
    const whims = Object.values(POLICIES);
    for (let round = 0; round < 60; round++) {
      const seed = randomBelow(random, 1 << 30);
      const both = new Both({ timestamps: (round & 1) === 0, policy: whimsical(whims, seed) });
      both.open();
      for (let i = 0; i < 8; i++) {
        const packets = train(both, 1 + both.bytesReceived);
        const changed = packets[randomBelow(random, CARS)];
        if (i & 1) changed[randomBelow(random, changed.length)] ^= 1 << randomBelow(random, 8);
        const twice = packets[randomBelow(random, CARS)];
        if (i & 2) packets.splice(randomBelow(random, CARS), 0, twice);
        both.arrive(packets, randomBelow(random, 2) === 0);
      }
      const seq = IRS + 1 + both.bytesReceived;
      both.arrives(both.segment({ seq, ack: both.iss + 1, flags: ACK | FIN }, 5));
    }
  });
});

/** Does what one of `whims` does in its middle, now and then: the same each time it is made of `seed`. */
function whimsical(whims: readonly Policy[], seed: number): Policy {
  // Each stack has a socket, and numbers, of its own.
  const randoms = new WeakMap<object, ReturnType<typeof seededRandom>>();
  return (socket, _piece, length) => {
    const random = randoms.get(socket) ?? seededRandom(seed);
    randoms.set(socket, random);
    const whim = whims[randomBelow(random, whims.length)];
    return whim(socket, randomBelow(random, 10) === 0 ? MIDDLE : 0, length);
  };
}

for (const vlan of [0, 5]) {
  const header = vlan === 0 ? 14 : 18;
  describe(`the Ethernet header of a train${vlan === 0 ? "" : ", with a tag,"}`, () => {
    for (let at = 0; at < header; at++) {
      test(`is not believed where its byte ${at} is another`, () => {
        for (const setting of settings(vlan)) {
          for (const bit of [1, 2, 4, 8, 16, 32, 64, 128]) {
            const both = new Both(setting);
            both.open();
            const packets = train(both);
            const other = packets[3].slice();
            other[at] ^= bit;
            both.arrive([...packets.slice(0, 3), other, ...packets.slice(3)]);
            expect(both.bytesReceived).toBe(CARS * LENGTH);
          }
        }
      });
    }
  });
}

const settings = (vlan: number): Setting[] => [
  { vlan },
  { vlan, policy: (_socket, _piece, length) => length },
];

describe("frames with a tag that gives a priority only", () => {
  /** Puts the tag in. */
  const tagged = (frame: Uint8Array) =>
    Uint8Array.from([...frame.subarray(0, 12), 0x81, 0x00, 0xa0, 0x00, ...frame.subarray(12)]);

  test("are a train", () => {
    for (const setting of settings(0)) {
      const both = new Both(setting);
      both.open();
      both.arrive(train(both).map(tagged));
      expect(both.bytesReceived).toBe(CARS * LENGTH);
    }
  });

  test("do not vouch for one without, whose header is the end of theirs", () => {
    for (const setting of settings(0)) {
      const both = new Both(setting);
      both.open();
      const packets = train(both).map(tagged);
      const forged = packets[2].subarray(4);
      both.arrive([...packets.slice(0, 2), forged, packets[1], forged]);
      expect(both.bytesReceived).toBe(2 * LENGTH);
      expect(both.stats.ethernetNotForUs + both.stats.ethernetMulticast).toBe(2);
    }
  });

  test("and frames without take turns", () => {
    for (const setting of settings(0)) {
      const both = new Both(setting);
      both.open();
      both.arrive(train(both).map((frame, i) => (i % 4 < 2 ? tagged(frame) : frame)));
      expect(both.bytesReceived).toBe(CARS * LENGTH);
    }
  });
});
