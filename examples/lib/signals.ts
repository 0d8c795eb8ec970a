/** Closes everything at the first signal, and resolves with the exit code; the second signal does not wait for that. */
export function closeAtSignal(close: () => Promise<void>): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  let isClosing = false;
  const onSignal = async (_name: string, number: number) => {
    if (isClosing) process.exit(128 + number);
    isClosing = true;
    await close();
    resolve(0);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return promise;
}
