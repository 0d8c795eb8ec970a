const { copy } = Buffer.prototype;

/**
 * Copies `length` bytes from `source` at `sourceOffset` to `target` at `targetOffset`. Unlike `set(subarray())` it makes
 * no view; `Buffer`'s method works on any Uint8Array.
 */
export function copyBytes(
  source: Uint8Array,
  sourceOffset: number,
  target: Uint8Array,
  targetOffset: number,
  length: number,
): void {
  copy.call(source, target, targetOffset, sourceOffset, sourceOffset + length);
}
