/** What the tests of this directory share: bytes from hex, seeded random numbers, arrays that watch their bounds. */

/** The bytes written in hex; white space is free. */
export function hex(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, "");
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error(`not hex: ${text}`);
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) =>
    Number.parseInt(digits.slice(i * 2, i * 2 + 2), 16),
  );
}

/** The bytes as hex, for comparisons with a readable difference. */
export function toHex(bytes: Uint8Array, offset = 0, length = bytes.length - offset): string {
  return Array.from(bytes.slice(offset, offset + length), (byte) => byte.toString(16).padStart(2, "0")).join(
    " ",
  );
}

/** A generator of integers below a bound, the same ones for the same seed. */
export function randomIntegers(seed: number): (bound: number) => number {
  let state = seed | 0;
  return (bound) => {
    // A Weyl sequence through two rounds of multiply and shift: good enough to choose inputs.
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) % bound;
  };
}

/** `count` random bytes. */
export function randomBytes(random: (bound: number) => number, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, () => random(256));
}

/** The same array seen through a proxy that throws when an element outside of `[from, to)` is read or written. */
export function guarded(bytes: Uint8Array, from: number, to: number): Uint8Array {
  const check = (key: string | symbol) => {
    if (typeof key !== "string" || !/^-?[0-9]+$|^NaN$/.test(key)) return;
    const index = Number(key);
    if (!(index >= from && index < to)) throw new Error(`index ${key} is outside of ${from} to ${to}`);
  };
  return new Proxy(bytes, {
    get(target, key) {
      check(key);
      return Reflect.get(target, key, target);
    },
    set(target, key, value) {
      check(key);
      return Reflect.set(target, key, value, target);
    },
  });
}

/** `packet` at `offset` of a larger array full of 0xdd, so that a read outside of it is not a harmless zero. */
export function embedded(packet: Uint8Array, offset: number): Uint8Array {
  const bytes = new Uint8Array(offset + packet.length + 8).fill(0xdd);
  bytes.set(packet, offset);
  return bytes;
}
