import { StackError } from "../errors.ts";

/** What the streams need of a connection. */
export interface StreamEnd {
  readonly closed: Promise<void>;
  readonly error: StackError | null;
  read(): Promise<Uint8Array<ArrayBuffer> | null>;
  readInto(buffer: Uint8Array): Promise<number>;
  write(bytes: Uint8Array): Promise<void>;
  shutdown(): Promise<void>;
  close(): Promise<void>;
  abort(reason?: unknown): void;
}

/** The receiving side as a byte stream that holds nothing back: it reads when somebody reads from it. */
export function readableOf(end: StreamEnd): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      type: "bytes",
      async pull(controller) {
        const request = (controller as ReadableByteStreamController).byobRequest;
        const view = request?.view;
        if (!request || !view) {
          const chunk = await end.read();
          if (chunk === null) controller.close();
          else controller.enqueue(chunk);
          return;
        }
        const count = await end.readInto(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
        if (count === 0) controller.close();
        request.respond(count);
      },
      async cancel() {
        await end.close();
      },
    },
    { highWaterMark: 0 },
  );
}

/** The sending side as a stream. */
export function writableOf(end: StreamEnd): WritableStream<Uint8Array> {
  return new WritableStream<Uint8Array>({
    start(controller) {
      // Whoever pipes into it hears of the connection's end now, and not with the next chunk, which may never come.
      void end.closed.then(() => {
        controller.error(end.error ?? new StackError("EPIPE", "the connection is closed: open another one"));
      });
    },
    write: (chunk) => end.write(chunk),
    close: () => end.shutdown(),
    abort: (reason) => end.abort(reason),
  });
}
