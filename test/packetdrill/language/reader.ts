import type { Claim, Place } from "../script.ts";

/** A script that is not understood, or that asks for what there is not: `FILE:LINE: what is wrong`. */
export class ScriptError extends Error {
  override readonly name = "ScriptError";
  readonly place: Place;

  constructor(place: Place, message: string) {
    super(`${place.file}:${place.line}: ${message}`);
    this.place = place;
  }
}

/** Space, and comments in the manners of C, C++ and the shell. */
const BLANK = /(?:\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/|#[^\n]*)*/y;
const WORD = /[A-Za-z0-9_]+/y;
const INTEGER = /0[xX][0-9a-fA-F]+|-?[0-9]+/y;

/** Goes through a script's text, and keeps what has been claimed on the way. */
export class Reader {
  readonly file: string;
  readonly text: string;
  /** Names that `--define` gave a value: each is read as that value. */
  readonly defines: ReadonlyMap<string, string>;
  readonly claims: Claim[] = [];
  /** The place of the event that is being read. */
  event = 0;
  at = 0;

  constructor(file: string, text: string, defines: ReadonlyMap<string, string>) {
    this.file = file;
    this.text = text;
    this.defines = defines;
  }

  get place(): Place {
    return this.placeOf(this.at);
  }

  placeOf(at: number): Place {
    let line = 1;
    for (let i = this.text.indexOf("\n"); i >= 0 && i < at; i = this.text.indexOf("\n", i + 1)) line++;
    return { file: this.file, line };
  }

  /** @throws ScriptError always */
  fail(message: string, at = this.at): never {
    throw new ScriptError(this.placeOf(at), message);
  }

  /** The same, with the text that was found instead. */
  expected(what: string): never {
    this.skip();
    const rest = this.text.slice(this.at, this.at + 30).split("\n")[0];
    return this.fail(`expected ${what}, found ${rest === "" ? "the end" : `"${rest}"`}`);
  }

  skip(): void {
    BLANK.lastIndex = this.at;
    BLANK.test(this.text);
    this.at = BLANK.lastIndex;
  }

  get atEnd(): boolean {
    this.skip();
    return this.at >= this.text.length;
  }

  /** What `pattern` (sticky) finds here, after space, or `null`. */
  take(pattern: RegExp): string | null {
    this.skip();
    return this.takeHere(pattern);
  }

  takeHere(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) return null;
    this.at += found[0].length;
    return found[0];
  }

  /** Whether `pattern` (sticky) finds something after space; stays where it is, so that space is nobody's. */
  looksAt(pattern: RegExp): boolean {
    BLANK.lastIndex = this.at;
    BLANK.test(this.text);
    pattern.lastIndex = BLANK.lastIndex;
    return pattern.test(this.text);
  }

  eat(symbol: string): boolean {
    BLANK.lastIndex = this.at;
    BLANK.test(this.text);
    if (!this.text.startsWith(symbol, BLANK.lastIndex)) return false;
    this.at = BLANK.lastIndex + symbol.length;
    return true;
  }

  /** @throws ScriptError */
  need(symbol: string): void {
    if (!this.eat(symbol)) this.expected(`"${symbol}"`);
  }

  /** A word as it stands. */
  word(): string | null {
    return this.take(WORD);
  }

  /** A word, or what it is defined as. */
  defined(): string | null {
    const word = this.word();
    return word === null ? null : (this.defines.get(word) ?? word);
  }

  /** Eats `word` where it is the next one. */
  eatWord(word: string): boolean {
    const start = this.at;
    if (this.word() === word) return true;
    this.at = start;
    return false;
  }

  /** @throws ScriptError where there is no whole number, or it is not from `least` to `most` */
  integer(what: string, least: number, most: number): number {
    this.skip();
    const start = this.at;
    const digits = this.take(INTEGER) ?? this.definedNumber();
    if (digits === null) return this.expected(what);
    const value = Number(digits);
    if (value < least || value > most) {
      this.fail(`${what} is ${digits}, which is not from ${least} to ${most}`, start);
    }
    return value;
  }

  private definedNumber(): string | null {
    const start = this.at;
    const word = this.defined();
    if (word !== null && /^(?:0x[0-9a-f]+|-?[0-9]+)$/i.test(word)) return word;
    this.at = start;
    return null;
  }

  claim(kind: Claim["kind"], start: number, end = this.at): void {
    this.claims.push({ kind, start, end, event: this.event });
  }
}
