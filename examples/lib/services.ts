import { type Connection, type Host, StackError, type UdpEndpoint } from "../../src/index.ts";

/** The small services of 1983: echo (RFC 862), discard (863), chargen (864) and daytime (867). */

type Service = (connection: Connection) => Promise<void>;
/** The answer to a datagram, or `null`. */
type UdpService = (data: Uint8Array) => Uint8Array | null;

/** Gives each connection on a port to `service`, and closes it afterwards. A connection's failure is its own affair. */
export function serve(host: Host, port: number, service: Service): void {
  const listener = host.listen({ port });
  void (async () => {
    for await (const connection of listener) void serveOne(connection, service);
  })();
}

async function serveOne(connection: Connection, service: Service): Promise<void> {
  try {
    await service(connection);
    await connection.close();
  } catch (error) {
    connection.abort(error);
    if (!(error instanceof StackError)) console.error(error);
  }
}

function serveUdp(host: Host, port: number, service: UdpService): void {
  void answerAll(host.udp({ port }), service).catch((error) => console.error(error));
}

async function answerAll(endpoint: UdpEndpoint, service: UdpService): Promise<void> {
  for await (const datagram of endpoint) {
    // Two such services that answer each other would never stop.
    if (datagram.port < 1024) continue;
    const answer = service(datagram.data);
    if (answer === null) continue;
    await endpoint.send(answer, datagram).catch((error: unknown) => {
      if (!(error instanceof StackError)) throw error;
    });
  }
}

/** Nobody looks at what is in here, so all connections share it. */
const wastebasket = new Uint8Array(256 * 1024);

async function discard(connection: Connection): Promise<void> {
  while ((await connection.readInto(wastebasket)) > 0);
}

async function echo(connection: Connection): Promise<void> {
  const buffer = new Uint8Array(64 * 1024);
  for (let count = await connection.readInto(buffer); count > 0; count = await connection.readInto(buffer)) {
    await connection.write(buffer.subarray(0, count));
  }
}

function daytime(): string {
  return `${new Date().toString()}\r\n`;
}

/** RFC 864: lines of 72 printable characters, each starting one character later than the line before. */
function chargenLines(): Uint8Array {
  const printable = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join("");
  const lines = Array.from({ length: 95 }, (_, i) => `${(printable + printable).slice(i, i + 72)}\r\n`);
  return Buffer.from(lines.join("").repeat(37));
}

const characters = chargenLines();

async function chargen(connection: Connection): Promise<void> {
  const receiving = discard(connection);
  // Where receiving fails, so does the next write.
  receiving.catch(() => {});
  for (;;) await connection.write(characters);
}

/** Starts all of them, on TCP and UDP. */
export function startServices(host: Host): void {
  serve(host, 7, echo);
  serve(host, 9, discard);
  serve(host, 13, (connection) => connection.write(daytime()));
  serve(host, 19, chargen);
  serveUdp(host, 7, (data) => data);
  serveUdp(host, 9, () => null);
  serveUdp(host, 13, () => Buffer.from(daytime()));
  serveUdp(host, 19, () => characters.subarray(0, Math.floor(Math.random() * 7) * 74));
}
