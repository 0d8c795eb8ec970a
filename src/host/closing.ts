import { StackError } from "../errors.ts";
import type { TcpSocket } from "../socket/tcp/tcp-socket.ts";
import type { Runtime } from "./runtime.ts";

/** Options of {@link Connection.close}. */
export interface CloseOptions {
  /**
   * Time in ms in which the peer has to acknowledge something, and again after each time that it has; else the connection is
   * reset, and `close` rejects with ETIMEDOUT. `tcp.orphanTimeoutMs` of the host, 60,000, unless told, and at most.
   */
  readonly timeout?: number | undefined;
  /** SO_LINGER; what `Connection.setLinger` has set unless told. */
  readonly linger?: Linger | undefined;
}

/**
 * Time in ms that the peer has to acknowledge everything, from `close` on; then it is reset, and `close` rejects with
 * ETIMEDOUT. 0: it is reset at once. `false`: as long as it gets on.
 */
export type Linger = number | false;

/** @throws StackError EINVAL */
export function checkClose({ timeout, linger }: CloseOptions): void {
  if (timeout !== undefined && !(timeout > 0)) {
    throw new StackError("EINVAL", `timeout is a time in ms above 0, and not ${timeout}`);
  }
  if (linger !== undefined) checkLinger(linger);
}

/** @throws StackError EINVAL */
export function checkLinger(linger: Linger): Linger {
  if (linger === false || linger >= 0) return linger;
  throw new StackError("EINVAL", `linger is a time in ms, 0 or more, or false, and not ${linger}`);
}

/**
 * Has `giveUp` called when the peer does not acknowledge what is still to be delivered in the time that `options` leave it;
 * returns what ends that.
 */
export function limitClosing(
  runtime: Runtime,
  socket: TcpSocket,
  { timeout, linger }: CloseOptions,
  giveUp: (error: StackError) => void,
): () => void {
  const late = (ms: number) => giveUp(tooLate(ms, socket.unacknowledgedBytes));
  const timers = [
    linger === undefined || linger === false ? null : runtime.setTimer(() => late(linger), linger),
    null,
  ];
  if (timeout !== undefined) {
    let { bytesSent } = socket.info();
    const look = () => {
      const before = bytesSent;
      ({ bytesSent } = socket.info());
      if (bytesSent === before) late(timeout);
      else timers[1] = runtime.setTimer(look, timeout);
    };
    timers[1] = runtime.setTimer(look, timeout);
  }
  return () => {
    for (const timer of timers) runtime.clearTimer(timer);
  };
}

function tooLate(ms: number, bytes: number): StackError {
  return new StackError(
    "ETIMEDOUT",
    `the connection was given up ${ms} ms after close(): the peer has not acknowledged ${bytes} bytes`,
  );
}

/** What reads get that wait when the program closes the connection, or come later. */
export function closedByUs(): StackError {
  return new StackError("ECANCELED", "the connection was closed by this program: read before close()");
}
