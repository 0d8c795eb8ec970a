import { describe, expect, test } from "bun:test";
import { startServices } from "../../examples/lib/services.ts";
import { failure, Pair, pattern, readAll, SERVER, sha256, text } from "../host/pair.ts";

describe("the small services", () => {
  test("echo gives everything back, and then its end", async () => {
    await using pair = await Pair.open();
    startServices(pair.server);
    const connection = await pair.client.connect({ address: SERVER, port: 7 });
    const sent = pattern(1_000_000);
    const reading = readAll(connection);
    await connection.write(sent);
    await connection.shutdown();
    expect(sha256(await reading)).toBe(sha256(sent));
    await connection.closed;
  });

  test("discard reads everything and says nothing", async () => {
    await using pair = await Pair.open();
    startServices(pair.server);
    const connection = await pair.client.connect({ address: SERVER, port: 9 });
    await connection.write(pattern(2_000_000));
    await connection.shutdown();
    expect(await connection.read()).toBeNull();
    expect(connection.info().bytesSent).toBe(2_000_000);
  });

  test("daytime says what time it is, and closes", async () => {
    await using pair = await Pair.open();
    startServices(pair.server);
    const connection = await pair.client.connect({ address: SERVER, port: 13 });
    const now = Date.parse((await readAll(connection)).toString());
    expect(Math.abs(now - Date.now())).toBeLessThan(5_000);
    await connection.close();
  });

  test("chargen sends the lines of RFC 864 until somebody has enough", async () => {
    await using pair = await Pair.open();
    startServices(pair.server);
    const connection = await pair.client.connect({ address: SERVER, port: 19 });
    await connection.write("it does not care");
    let received = "";
    while (received.length < 500_000) received += text(await connection.read());
    const lines = received.split("\r\n").slice(0, -1);
    expect(lines[0]).toBe(" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg");
    expect(lines[1]).toStartWith("!\"#$%&'");
    expect(lines.every((line) => line.length === 72)).toBe(true);
    expect(lines[95]).toBe(lines[0]);
    expect(lines[95 * 37]).toBe(lines[0]);
    connection.abort();
    const [again] = [await pair.client.connect({ address: SERVER, port: 19 })];
    expect((await again.read())?.length).toBeGreaterThan(0);
    again.abort();
  });

  test("they answer datagrams, too", async () => {
    await using pair = await Pair.open();
    startServices(pair.server);
    const client = pair.client.udp();
    const ask = async (port: number) => {
      await client.send(new TextEncoder().encode("hello"), { address: SERVER, port });
      return text((await client.receive({ timeout: 500 })).data);
    };
    expect(await ask(7)).toBe("hello");
    expect(await failure(ask(9))).toBe("ETIMEDOUT");
    expect(Date.parse((await ask(13)) ?? "")).toBeGreaterThan(0);
    expect(await ask(19)).toMatch(/^( !"#.*\r\n(.{72}\r\n)*)?$/);
  });

  test("two of them can't be set on each other", async () => {
    await using pair = await Pair.open();
    startServices(pair.server);
    const other = pair.client.udp({ port: 19 });
    await other.send(new Uint8Array(1), { address: SERVER, port: 7 });
    expect(await failure(other.receive({ timeout: 50 }))).toBe("ETIMEDOUT");
  });
});
