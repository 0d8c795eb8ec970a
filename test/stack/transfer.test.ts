import { describe, expect, test } from "bun:test";
import { fault } from "../../devices/fault.ts";
import { memoryPair } from "../../devices/memory.ts";
import { connected, pairOn, Receiver, runUntil, Sender } from "../support/transfer.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

describe("two hosts in memory", () => {
  test("move 1 GiB in frames of 1,500 bytes, byte for byte", () => {
    const pair = pairOn(...memoryPair({ mtu: 1_500 }));
    const { client, server } = connected(pair);
    const sender = new Sender(client, GIB, 1);
    const receiver = new Receiver(server);
    runUntil(pair, () => {
      sender.pump();
      receiver.pump();
      return receiver.ended;
    });
    expect(receiver.bytes).toBe(GIB);
    expect(receiver.hash.digest("hex")).toBe(sender.hash.digest("hex"));
    // A clean link loses nothing, and nothing was sent twice.
    expect(pair.client.stats.tcpRetransmissions).toBe(0);
    expect(pair.server.stats.tcpOutOfOrder).toBe(0);
  }, 60_000);

  test("move 100 MiB both ways at once while every 20th frame is dropped, duplicated, swapped or corrupted", () => {
    const each = 1 / 20 / 4;
    const rates = { drop: each, duplicate: each, swap: each, corrupt: each };
    const [a, b] = memoryPair({ mtu: 1_500 });
    const serverDevice = fault(a, { seed: 20, ...rates });
    const clientDevice = fault(b, { seed: 21, ...rates });
    const pair = pairOn(serverDevice, clientDevice);
    const { client, server } = connected(pair);
    const up = new Sender(client, 100 * MIB, 2);
    const down = new Sender(server, 100 * MIB, 3);
    const atServer = new Receiver(server);
    const atClient = new Receiver(client);
    runUntil(pair, () => {
      up.pump();
      down.pump();
      atServer.pump();
      atClient.pump();
      return atServer.ended && atClient.ended;
    });
    expect(atServer.bytes).toBe(100 * MIB);
    expect(atClient.bytes).toBe(100 * MIB);
    expect(atServer.hash.digest("hex")).toBe(up.hash.digest("hex"));
    expect(atClient.hash.digest("hex")).toBe(down.hash.digest("hex"));
    // The link did what it was asked to.
    expect(pair.server.stats.tcpBadChecksum).toBeGreaterThan(500);
    expect(pair.client.stats.tcpRetransmissions).toBeGreaterThan(1_000);
  }, 60_000);
});
