/**
 * Big-endian ("network order") integers in a `Uint8Array`.
 *
 * Byte reads and shifts, not a `DataView`: the compiled code is as fast, and nothing has to be made per array.
 * None of these checks bounds; a check function of the protocol has done so before.
 */

/** The unsigned 16-bit integer at `offset`. */
export function read16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] << 8) | bytes[offset + 1];
}

/** The 32-bit integer at `offset`, as a signed number: `-1` for ff ff ff ff. */
export function read32(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] << 24) | (bytes[offset + 1] << 16) | (bytes[offset + 2] << 8) | bytes[offset + 3];
}

/** Writes the low 16 bits of `value` at `offset`. */
export function write16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 8;
  bytes[offset + 1] = value;
}

/** Writes the low 32 bits of `value` at `offset`. */
export function write32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}
