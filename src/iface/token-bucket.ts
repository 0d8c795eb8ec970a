/** Lets so many events pass a second, and a few more at once. */
export class TokenBucket {
  private readonly perMs: number;
  private readonly burst: number;
  private tokens: number;
  private filledAt = 0;

  constructor(perSecond: number, burst: number) {
    this.perMs = perSecond / 1_000;
    this.burst = burst;
    this.tokens = burst;
  }

  /** Takes a token, if there is one at `now` (ms). */
  take(now: number): boolean {
    this.tokens = Math.min(this.burst, this.tokens + (now - this.filledAt) * this.perMs);
    this.filledAt = now;
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }
}
