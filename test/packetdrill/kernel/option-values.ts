/** What a program has set of a socket's options, by name; others have their defaults. */
export class OptionValues {
  private readonly numbers = new Map<string, number>();
  /** TCP_CONGESTION, as the program calls it. */
  congestion: string | null = null;
  /** SO_LINGER; seconds. */
  linger = { onoff: 0, linger: 0 };
  /** SO_RCVTIMEO and SO_SNDTIMEO, in ms; 0 is for ever. */
  receiveTimeout = 0;
  sendTimeout = 0;

  get(name: string): number {
    return this.numbers.get(name) ?? 0;
  }

  isSet(name: string): boolean {
    return this.numbers.has(name);
  }

  set(name: string, value: number): void {
    this.numbers.set(name, value);
  }

  /** What a connection takes over from the listener that it came to. */
  inherit(): OptionValues {
    const copy = new OptionValues();
    for (const [name, value] of this.numbers) if (!OWN.has(name)) copy.numbers.set(name, value);
    copy.congestion = this.congestion;
    copy.linger = { ...this.linger };
    copy.receiveTimeout = this.receiveTimeout;
    copy.sendTimeout = this.sendTimeout;
    return copy;
  }
}

/** Options of a listener, not of its connections. */
const OWN = new Set(["TCP_DEFER_ACCEPT", "TCP_FASTOPEN"]);
