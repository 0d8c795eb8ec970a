import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import type { Connection, Host } from "../../src/index.ts";
import { Failure } from "./command.ts";

/** From a port of the real machine to one of a tapwire host. */
export interface Forwarding {
  /** 0 for any that is free. */
  readonly from: number;
  readonly to: number;
}

/** "localhost" is one of these, or both. */
const LOOPBACK = ["127.0.0.1", "::1"];
/** A machine without IPv6 says one of these. */
const ABSENT = ["EADDRNOTAVAIL", "EAFNOSUPPORT"];

/**
 * Lets programs of the real machine reach `address` by way of `host`: what connects to `localhost:from` is connected to
 * port `to` there.
 *
 * @returns the port on localhost
 * @throws Failure where the port is taken
 */
export async function forward(host: Host, address: string, { from, to }: Forwarding): Promise<number> {
  let port = from;
  for (const loopback of LOOPBACK) {
    const server = createServer(
      { allowHalfOpen: true, noDelay: true },
      (socket) => void join(socket, host, address, to),
    );
    const listened = await listen(server, port, loopback);
    if (listened !== null) port = listened;
  }
  return port;
}

async function listen(server: Server, port: number, loopback: string): Promise<number | null> {
  try {
    server.listen(port, loopback);
    await once(server, "listening");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (loopback !== LOOPBACK[0] && ABSENT.includes(code)) return null;
    const reason = code === "EADDRINUSE" ? "is in use by another program" : `can't be opened (${code})`;
    throw new Failure(
      `Port ${port} of this machine ${reason}: choose another one with --forward, for example --forward 8081:80.`,
    );
  }
  // The hosts keep the program running, or let it end.
  server.unref();
  const bound = server.address();
  return typeof bound === "object" && bound !== null ? bound.port : port;
}

/** Joins both ends; each direction ends by itself, and an error of one end is one of the other, too. */
async function join(socket: Socket, host: Host, address: string, port: number): Promise<void> {
  socket.on("error", () => {});
  const gone = new AbortController();
  socket.on("close", () => gone.abort());
  try {
    const connection = await host.connect({ address, port, noDelay: true, signal: gone.signal });
    socket.on("close", (failed) => (failed ? connection.abort() : connection.close()));
    try {
      await Promise.all([upstream(socket, connection), downstream(connection, socket, gone.signal)]);
    } finally {
      await connection.close();
    }
  } catch {
    socket.resetAndDestroy();
  }
}

async function upstream(socket: Socket, connection: Connection): Promise<void> {
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) await connection.write(chunk);
  await connection.shutdown();
}

async function downstream(connection: Connection, socket: Socket, signal: AbortSignal): Promise<void> {
  for await (const chunk of connection) {
    if (!socket.write(chunk)) await once(socket, "drain", { signal });
  }
  socket.end();
}
