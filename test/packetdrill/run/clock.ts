import type { Event } from "../script.ts";
import type { Settings } from "./settings.ts";

/** When an event is to happen: us from the start, `to` with a range and `from` without end with `*`. */
export interface Window {
  readonly from: number;
  readonly to: number;
  readonly isAny: boolean;
  readonly isRange: boolean;
  /** How far off it may be, in us. */
  readonly tolerance: number;
  /** When a blocking call is to return, in us. */
  readonly until: number | null;
}

const us = (seconds: number) => Math.round(seconds * 1e6);

/** `0.100000`. */
export function seconds(timeUs: number): string {
  return (timeUs / 1e6).toFixed(6);
}

/** Says when events happen, from when those before them did. */
export class Clock {
  private readonly settings: Settings;
  /** The event before: when it was to happen. */
  private last: { readonly from: number; readonly isArriving: boolean; readonly isAbsolute: boolean } | null =
    null;

  constructor(settings: Settings) {
    this.settings = settings;
  }

  /**
   * The window of the next event.
   *
   * @param now us
   * @returns the sentence to fail with where the script's times make no sense
   */
  next(event: Event, now: number): Window | string {
    const { last } = this;
    const isArriving = event.action.kind === "packet" && event.action.direction === "in";
    // Packets that follow each other keep the distance that the script says, however long the work in between took.
    const offset = isArriving && last?.isArriving === true ? last.from : now;
    const { time } = event;
    const isAny = time.kind === "any";
    const isAbsolute = time.kind === "absolute" || (time.kind === "range" && !time.relative);
    const base = isAbsolute ? 0 : offset;
    let from = base;
    let to = base;
    if (time.kind === "absolute") from = to = us(time.at);
    if (time.kind === "relative") from = to = base + us(time.after);
    if (time.kind === "range") {
      from = base + us(time.from);
      to = base + us(time.to);
    }
    if (last === null && from !== 0) return "the first event has to be at time 0";
    if (last?.isAbsolute === true && isAbsolute && from < last.from) {
      return `time goes backward, from ${seconds(last.from)} to ${seconds(from)}`;
    }
    const tolerance = this.tolerance(last === null ? 0 : from - last.from);
    const until = event.until === undefined ? null : (event.until.relative ? offset : 0) + us(event.until.at);
    this.last = { from, isArriving, isAbsolute };
    return { from, to, isAny, isRange: time.kind === "range", tolerance, until };
  }

  /** @param distance us since the event before */
  tolerance(distance: number): number {
    const { toleranceUs, tolerancePercent } = this.settings;
    return Math.max(toleranceUs, (tolerancePercent / 100) * distance);
  }
}

/** What is wrong with something that happened at `at` (us), or `null`. */
export function timeMismatch(window: Window, at: number, what: string): string | null {
  const { from, to, isAny, isRange, tolerance } = window;
  if (isAny || (at >= from - tolerance && at <= to + tolerance)) return null;
  const expected = isRange
    ? `in the time range ${seconds(from)}~${seconds(to)} sec`
    : `at ${seconds(from)} sec`;
  return `timing error: expected ${what} ${expected} but it happened at ${seconds(at)} sec; tolerance ${seconds(tolerance)} sec`;
}
