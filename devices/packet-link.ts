/** The kinds of sources that a packet stream may run over, brought to one shape. */

import type { Duplex } from "node:stream";

/** A pair of web streams; what is written to one end is read at the other. */
export interface StreamPair {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}

/** Two functions, for sources that are no streams: each call carries one packet (or a piece of bytes, with framing). */
export interface PacketFunctions {
  /**
   * Takes bytes to send, which are its own from now on. If it returns a promise, nothing more is sent before that resolves;
   * its rejection, or an error that is thrown, ends the device.
   */
  send(bytes: Uint8Array<ArrayBuffer>): Promise<unknown> | unknown;
  /**
   * Is called once. From then on, `deliver` takes what arrives, and copies it before it returns; it returns `false` when
   * packets were dropped because the queue was full. `end` says that nothing will come any more, and why if that is an
   * error.
   */
  receive(deliver: (bytes: Uint8Array) => boolean, end: (error?: unknown) => void): void;
  /** Is called once when the device has been closed and everything was sent. */
  close?(): void;
}

/** What the device does when its link has something for it. */
export interface LinkUser {
  /** Bytes have arrived; they may be used after the call only where the link can pause. Not called while paused. */
  arrived(bytes: Uint8Array): boolean;
  /** After `write` returned `false`: there is room again. */
  writable(): void;
  /** Nothing comes any more; `error` where that is none of an orderly end. */
  ended(error: unknown): void;
}

/** A source and sink of chunks of bytes. */
export interface Link {
  /** Whether `pause` stops what arrives; otherwise what finds no room is lost. */
  readonly canPause: boolean;
  start(user: LinkUser): void;
  /** Gives the bytes away; `false` when `writable` is to be waited for before the next. */
  write(bytes: Uint8Array<ArrayBuffer>): boolean;
  pause(): void;
  resume(): void;
  /** Ends it behind what was written. */
  close(): void;
  /** Ends it now. */
  destroy(): void;
}

/** What a packet stream can be made over. */
export type PacketSource = Duplex | StreamPair | PacketFunctions;

export function linkOver(source: PacketSource): Link {
  if ("readable" in source && typeof source.readable === "object") return new WebLink(source as StreamPair);
  if ("send" in source) return new FunctionLink(source);
  return new DuplexLink(source as Duplex);
}

/** A Duplex of node's. */
class DuplexLink implements Link {
  readonly canPause = true;
  private readonly stream: Duplex;

  constructor(stream: Duplex) {
    this.stream = stream;
  }

  start(user: LinkUser): void {
    const { stream } = this;
    stream.on("error", (error) => user.ended(error));
    stream.on("end", () => user.ended(null));
    stream.on("close", () => user.ended(null));
    stream.on("drain", () => user.writable());
    stream.on("data", (chunk: unknown) => {
      // A text, where somebody has set an encoding, is nothing that a packet could be made of again.
      if (chunk instanceof Uint8Array) user.arrived(chunk);
      else this.stream.destroy(new TypeError(`the stream's chunks are bytes, and no ${typeof chunk}`));
    });
  }

  write(bytes: Uint8Array<ArrayBuffer>): boolean {
    if (!this.stream.writable) return true;
    return this.stream.write(bytes);
  }

  pause(): void {
    this.stream.pause();
  }

  resume(): void {
    this.stream.resume();
  }

  close(): void {
    if (this.stream.writable) this.stream.end(() => this.stream.destroy());
    else this.stream.destroy();
  }

  destroy(): void {
    this.stream.destroy();
  }
}

/** A pair of web streams. */
class WebLink implements Link {
  readonly canPause = true;
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  private readonly writer: WritableStreamDefaultWriter<Uint8Array>;
  private user: LinkUser | null = null;
  private resumed: PromiseWithResolvers<void> | null = null;

  constructor({ readable, writable }: StreamPair) {
    this.reader = readable.getReader();
    this.writer = writable.getWriter();
  }

  start(user: LinkUser): void {
    this.user = user;
    this.writer.closed.then(
      () => user.ended(null),
      (error: unknown) => user.ended(error),
    );
    void this.read(user);
  }

  private async read(user: LinkUser): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await this.reader.read();
        if (done) break;
        user.arrived(value);
        await this.resumed?.promise;
      }
      user.ended(null);
    } catch (error) {
      user.ended(error);
    }
  }

  write(bytes: Uint8Array<ArrayBuffer>): boolean {
    // What a write fails by, `closed` tells too.
    this.writer.write(bytes).catch(ignore);
    const room = this.writer.desiredSize ?? 1;
    if (room > 0) return true;
    this.writer.ready.then(() => this.user?.writable(), ignore);
    return false;
  }

  pause(): void {
    this.resumed ??= Promise.withResolvers();
  }

  resume(): void {
    this.resumed?.resolve();
    this.resumed = null;
  }

  close(): void {
    this.resume();
    this.writer.close().catch(ignore);
    this.reader.cancel().catch(ignore);
  }

  destroy(): void {
    this.resume();
    this.writer.abort().catch(ignore);
    this.reader.cancel().catch(ignore);
  }
}

/** Two functions. */
class FunctionLink implements Link {
  readonly canPause = false;
  private readonly functions: PacketFunctions;
  private user: LinkUser | null = null;
  private closed = false;

  constructor(functions: PacketFunctions) {
    this.functions = functions;
  }

  start(user: LinkUser): void {
    this.user = user;
    this.functions.receive(
      (bytes) => user.arrived(bytes),
      (error) => user.ended(error ?? null),
    );
  }

  write(bytes: Uint8Array<ArrayBuffer>): boolean {
    try {
      const result = this.functions.send(bytes);
      if (!(result instanceof Promise)) return true;
      result.then(
        () => this.user?.writable(),
        (error: unknown) => this.user?.ended(error),
      );
      return false;
    } catch (error) {
      this.user?.ended(error);
      return true;
    }
  }

  pause(): void {}

  resume(): void {}

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.functions.close?.();
  }

  destroy(): void {
    this.close();
  }
}

function ignore(): void {}

/** What `overWebSocket` needs of a WebSocket, which the one of browsers, Bun and node has. */
export interface WebSocketLike {
  binaryType: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  send(bytes: Uint8Array<ArrayBuffer>): void;
  close(): void;
  addEventListener(type: string, listener: (event: { readonly data?: unknown }) => void): void;
}

const CONNECTING = 0;
/** Bytes that may wait in a WebSocket before no more are given to it. */
const SOCKET_BUFFER = 1 << 20;
/** A WebSocket does not tell when it has sent something, so it is asked after so many ms. */
const SOCKET_DRAIN_MS = 2;

/**
 * A WebSocket as a source of packets, one a message. It may still be connecting.
 *
 * @example
 * ```ts
 * const openTunnel = (url: string) =>
 *   open({ device: streamDevice(overWebSocket(new WebSocket(url))), addresses: ["10.0.0.2/24"] });
 * ```
 */
export function overWebSocket(socket: WebSocketLike): PacketFunctions {
  const opened = Promise.withResolvers<void>();
  socket.binaryType = "arraybuffer";
  socket.addEventListener("open", () => opened.resolve());
  const send = async (bytes: Uint8Array<ArrayBuffer>) => {
    await opened.promise;
    socket.send(bytes);
    while (socket.bufferedAmount > SOCKET_BUFFER) {
      await new Promise((resolve) => setTimeout(resolve, SOCKET_DRAIN_MS));
    }
  };
  return {
    send(bytes) {
      if (socket.readyState === CONNECTING || socket.bufferedAmount > SOCKET_BUFFER) return send(bytes);
      socket.send(bytes);
      return undefined;
    },
    receive(deliver, end) {
      socket.addEventListener("message", ({ data }) => {
        if (data instanceof ArrayBuffer) deliver(new Uint8Array(data));
      });
      socket.addEventListener("error", () => end(new Error("the WebSocket failed")));
      socket.addEventListener("close", () => end());
    },
    close: () => socket.close(),
  };
}
