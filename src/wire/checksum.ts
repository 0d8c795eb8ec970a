/**
 * The Internet checksum: RFC 1071, and its incremental update by RFC 1624.
 *
 * A sum over bytes can be taken over native 32-bit words instead: 2^16 is 1 modulo 0xffff, so the order of the
 * halves of a word doesn't matter, and a sum of words in the other byte order is the right sum with its two bytes
 * swapped (RFC 1071 section 2 B). That is several times faster, so long inputs are read through an `Int32Array`, and
 * those in the memory of a device (see `frameMemory`) by vectors.
 */

import { type VectorSum, vectorSumOf } from "./frame-memory.ts";
import type { IpAddress } from "./ip-address.ts";

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Below this many bytes, finding the word view and handling the edges costs more than they save. */
const SHORT = 64;

/** Words summed before folding: the sum of that many 16-bit halves stays below 2^31. */
const BLOCK_WORDS = 0x8000;

/** A vector sum of so many bytes stays below 2^32. */
const LONGEST_VECTOR = 0x10000;

/**
 * The partial ones' complement sum of `length` bytes taken as big-endian 16-bit words, plus `initial`. An odd last
 * byte counts as the high half of a word, so only the last piece of a chain may have an odd length.
 *
 * The result is not folded: it is a number below 2^32 that can be the `initial` of the next call (`initial` has to
 * be below 2^31; every call adds less than 2^23), and that `fold` or `checksum` brings down to 16 bits.
 *
 * @example
 * ```ts
 * fold(sum(new Uint8Array([0x00, 0x01, 0xf2, 0x03]), 0, 4)); // 0xf204
 * ```
 */
export function sum(bytes: Uint8Array, offset: number, length: number, initial = 0): number {
  if (length < SHORT) return initial + sumBytes(bytes, offset, length);

  const memory = memoryOf(bytes);
  const start = bytes.byteOffset + offset;
  if (memory.vectorSum !== null && length <= LONGEST_VECTOR) {
    const body = length & ~15;
    const words = fold(memory.vectorSum(start, start + body));
    // WebAssembly is little-endian everywhere.
    const swapped = ((words & 0xff) << 8) | (words >>> 8);
    return initial + swapped + sumBytes(bytes, offset + body, length - body);
  }
  const head = -start & 3;
  const count = (length - head) >>> 2;
  const tail = head + (count << 2);
  let body = sumWords(memory.words, (start + head) >>> 2, count);
  // Behind an odd number of bytes, words begin at the low half of the checksum's words: one swap more (or less).
  if (LITTLE_ENDIAN !== ((head & 1) === 1)) body = ((body & 0xff) << 8) | (body >>> 8);
  let total = initial + body + sumBytes(bytes, offset, head);
  if ((head & 1) === 0) {
    total += sumBytes(bytes, offset + tail, length - tail);
  } else if (tail < length) {
    // The byte behind the body is the low half of a word, and pairs start after it.
    total += bytes[offset + tail] + sumBytes(bytes, offset + tail + 1, length - tail - 1);
  }
  return total;
}

/** The sum of fewer than 2^15 bytes, byte by byte. */
function sumBytes(bytes: Uint8Array, offset: number, length: number): number {
  let total = 0;
  const end = offset + (length & ~1);
  for (let at = offset; at < end; at += 2) total = (total + ((bytes[at] << 8) | bytes[at + 1])) | 0;
  if ((length & 1) === 1) total = (total + (bytes[end] << 8)) | 0;
  return total;
}

/** The sum of native words from index `at`, folded to 16 bits. */
function sumWords(words: Int32Array, at: number, count: number): number {
  let total = 0;
  while (count > 0) {
    const block = Math.min(count, BLOCK_WORDS);
    total += sumBlock(words, at, block);
    at += block;
    count -= block;
  }
  return total < 0x10000 ? total : fold(total);
}

/**
 * The folded sum of at most `BLOCK_WORDS` words.
 *
 * What is wanted is (sum of low halves) + (sum of high halves). Summing whole words modulo 2^32 beside the high
 * halves takes one operation a word less than summing both halves: the low halves' sum is what is left of the words'
 * sum without the high halves, exact because it is below 2^32. Four words a turn and two accumulators of each kind
 * were the fastest of 36 arrangements; eight words a turn run out of registers.
 */
function sumBlock(words: Int32Array, at: number, count: number): number {
  let whole = 0;
  let high = 0;
  let whole2 = 0;
  let high2 = 0;
  const end = at + count;
  const unrolledEnd = at + (count & ~3);
  for (; at < unrolledEnd; at += 4) {
    const a = words[at];
    const b = words[at + 1];
    const c = words[at + 2];
    const d = words[at + 3];
    whole = (whole + a) | 0;
    high = (high + (a >>> 16)) | 0;
    whole2 = (whole2 + b) | 0;
    high2 = (high2 + (b >>> 16)) | 0;
    whole = (whole + c) | 0;
    high = (high + (c >>> 16)) | 0;
    whole2 = (whole2 + d) | 0;
    high2 = (high2 + (d >>> 16)) | 0;
  }
  for (; at < end; at++) {
    const a = words[at];
    whole = (whole + a) | 0;
    high = (high + (a >>> 16)) | 0;
  }
  whole = (whole + whole2) | 0;
  high = (high + high2) | 0;
  const low = (whole - (high << 16)) | 0;
  return fold(low) + fold(high);
}

/** How the bytes of an array are read several at a time. */
class SummedMemory {
  readonly array: Uint8Array;
  /** The words of the whole buffer: index 0 is the buffer's first byte, not the array's. */
  readonly words: Int32Array;
  readonly vectorSum: VectorSum | null;

  constructor(array: Uint8Array) {
    this.array = array;
    this.words = new Int32Array(array.buffer, 0, array.buffer.byteLength >>> 2);
    this.vectorSum = vectorSumOf(array.buffer);
  }
}

// The last arrays summed: making a record costs as much as summing 500 bytes. A device uses few distinct arrays, so a
// handful of entries, compared by identity, is enough (and these stay in memory for it). Plain variables, because they
// are compared on every call.
let memory0 = new SummedMemory(new Uint8Array(0));
let memory1 = memory0;
let memory2 = memory0;
let memory3 = memory0;
let nextEntry = 0;

function memoryOf(bytes: Uint8Array): SummedMemory {
  if (bytes === memory0.array) return memory0;
  if (bytes === memory1.array) return memory1;
  if (bytes === memory2.array) return memory2;
  if (bytes === memory3.array) return memory3;
  return remember(new SummedMemory(bytes));
}

/** The words of the memory that `bytes` lies in: index 0 is the first byte of its buffer. Costs next to nothing, as a sum does. */
export function wordsOf(bytes: Uint8Array): Int32Array {
  return memoryOf(bytes).words;
}

function remember(memory: SummedMemory): SummedMemory {
  const entry = nextEntry;
  nextEntry = (entry + 1) & 3;
  if (entry === 0) memory0 = memory;
  else if (entry === 1) memory1 = memory;
  else if (entry === 2) memory2 = memory;
  else memory3 = memory;
  return memory;
}

/** Adds the carries back in until 16 bits are left; `sum` is taken as an unsigned 32-bit number. */
export function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/**
 * The checksum to put into a header: the complement of the folded sum, 16 bits. Over data that contain their own
 * right checksum it is 0, which is how one is verified.
 *
 * @example
 * ```ts
 * const valid = checksum(bytes, offset, ipv4HeaderLength(bytes, offset)) === 0;
 * ```
 */
export function checksum(bytes: Uint8Array, offset: number, length: number, initial = 0): number {
  return ~fold(sum(bytes, offset, length, initial)) & 0xffff;
}

/**
 * The checksum after one 16-bit word of the data it covers changed from `oldWord` to `newWord`: RFC 1624 section 3,
 * equation 3, HC' = ~(~HC + ~m + m'). (Equation 4, by subtraction, gets 0x0000 and 0xffff wrong.)
 */
export function updateChecksum(checksum: number, oldWord: number, newWord: number): number {
  return ~fold((~checksum & 0xffff) + (~oldWord & 0xffff) + (newWord & 0xffff)) & 0xffff;
}

/**
 * The partial sum of the pseudo-header that TCP, UDP and ICMPv6 checksums cover besides their own bytes: RFC 9293
 * section 3.1 for IPv4, RFC 8200 section 8.1 for IPv6. Both addresses are of one family; `length` is the transport
 * header and payload in bytes. To be the `initial` of `sum` or `checksum`.
 */
export function pseudoHeaderSum(
  source: IpAddress,
  destination: IpAddress,
  protocol: number,
  length: number,
): number {
  // Both pseudo-headers are these fields with zeros between them; only their order differs, which no sum sees.
  const total = protocol + (length >>> 16) + (length & 0xffff) + halves(source.w3) + halves(destination.w3);
  if (source.family === 4) return total;
  return (
    total +
    halves(source.w0) +
    halves(source.w1) +
    halves(source.w2) +
    halves(destination.w0) +
    halves(destination.w1) +
    halves(destination.w2)
  );
}

/** Both 16-bit halves of a word, added. */
export function halves(word: number): number {
  return (word >>> 16) + (word & 0xffff);
}
