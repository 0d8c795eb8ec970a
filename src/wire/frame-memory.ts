/**
 * Memory for frames whose checksums are summed sixteen bytes at a time: that of a WebAssembly instance, the only way to
 * the processor's vector instructions. JavaScript and system calls use it as any other array.
 *
 * The module is one function, written here instruction by instruction. Where there is no WebAssembly, none with vectors,
 * or no more memory for it, the memory is ordinary, and the sums are right all the same.
 */

/** Adds the native 16-bit words in `[at, end)`; a multiple of 16 bytes, 65,536 at most. The result is not folded. */
export type VectorSum = (at: number, end: number) => number;

const BLOCK = 0x40;
const VOID = 0x40;
const PAGE = 65_536;

// What a function is made of, under the names of the specification.
const localGet = (index: number) => [0x20, index];
const localSet = (index: number) => [0x21, index];
/** In one byte of LEB128, so below 64; 64 itself takes two. */
const i32Const = (value: number) => (value < 64 ? [0x41, value] : [0x41, (value & 0x7f) | 0x80, value >> 7]);
const I32_ADD = [0x6a];
const I32_GT_U = [0x4b];
const I32_GE_U = [0x4f];
const block = (...body: number[][]) => [0x02, VOID, ...body.flat(), 0x0b];
const loop = (...body: number[][]) => [0x03, VOID, ...body.flat(), 0x0b];
const br = (depth: number) => [0x0c, depth];
const brIf = (depth: number) => [0x0d, depth];
const v128Load = (offset: number) => [0xfd, 0x00, 0x00, offset];
const I32X4_EXTADD_PAIRWISE_I16X8_U = [0xfd, 0x7f];
const I32X4_ADD = [0xfd, 0xae, 0x01];
const i32x4ExtractLane = (lane: number) => [0xfd, 0x1b, lane];

/** `sum(at: i32, end: i32) -> i32`. */
function sumFunction(): number[] {
  const [at, end, even, odd] = [0, 1, 2, 3];
  /** Adds the eight words at `at + offset`, in pairs, to the vector on the stack. */
  const add = (offset: number) => [
    ...localGet(at),
    ...v128Load(offset),
    ...I32X4_EXTADD_PAIRWISE_I16X8_U,
    ...I32X4_ADD,
  ];
  const advance = (bytes: number) => [...localGet(at), ...i32Const(bytes), ...I32_ADD, ...localSet(at)];
  const lane = (number: number) => [...localGet(even), ...i32x4ExtractLane(number)];
  const body = [
    // Two accumulators, so that an addition need not wait for the one before.
    block(
      loop(
        [...localGet(at), ...i32Const(BLOCK), ...I32_ADD, ...localGet(end), ...I32_GT_U, ...brIf(1)],
        [...localGet(even), ...add(0), ...add(16), ...localSet(even)],
        [...localGet(odd), ...add(32), ...add(48), ...localSet(odd)],
        [...advance(BLOCK), ...br(0)],
      ),
    ),
    block(
      loop(
        [...localGet(at), ...localGet(end), ...I32_GE_U, ...brIf(1)],
        [...localGet(even), ...add(0), ...localSet(even)],
        [...advance(16), ...br(0)],
      ),
    ),
    [...localGet(even), ...localGet(odd), ...I32X4_ADD, ...localSet(even)],
    [...lane(0), ...lane(1), ...I32_ADD, ...lane(2), ...I32_ADD, ...lane(3), ...I32_ADD, 0x0b],
  ];
  const twoVectors = [1, 2, 0x7b];
  return [...twoVectors, ...body.flat()];
}

function moduleBytes(): Uint8Array<ArrayBuffer> {
  const leb = (value: number): number[] =>
    value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >> 7)];
  const section = (id: number, content: number[]) => [id, ...leb(content.length), ...content];
  const code = sumFunction();
  const I32 = 0x7f;
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // "\0asm", version 1
    ...section(1, [1, 0x60, 2, I32, I32, 1, I32]), // types: (i32, i32) -> i32
    ...section(2, [1, 1, 0x6d, 1, 0x6d, 2, 0, 1]), // imports: memory "m" "m" of one page or more
    ...section(3, [1, 0]), // functions: one, of type 0
    ...section(7, [1, 1, 0x73, 0, 0]), // exports: it, as "s"
    ...section(10, [1, ...leb(code.length), ...code]),
  ]);
}

/** Compiled at the first use; `null` where that can't be. */
let compiled: WebAssembly.Module | null | undefined;

function module(): WebAssembly.Module | null {
  if (compiled !== undefined) return compiled;
  try {
    compiled = new WebAssembly.Module(moduleBytes());
  } catch {
    compiled = null;
  }
  return compiled;
}

const sums = new WeakMap<ArrayBufferLike, VectorSum>();

/**
 * Bytes that are reserved at once, and handed out bit by bit; touched only as they are used. An instance for each
 * device would be simpler, but an engine has only so many: beyond some ten of them JavaScriptCore collects all garbage
 * before it makes one more, 50 ms and longer each time in a program that has a few hundred hosts in memory.
 */
const SLAB = 16 * 1024 * 1024;
/**
 * What is larger has memory, and an instance, of its own: it would leave much of a slab unused. These are the queues of
 * memory pairs with offload, 17 MB each way, of which there are few: a hundred pairs take 0.15 s to make.
 */
const LARGEST_SHARE = SLAB / 4;
/** Two devices never share a cache line. */
const ALIGNMENT = 64;

let slab: ArrayBuffer | null = null;
let used = 0;

/** Memory of an instance, or `null` where the engine has none left. */
function reserve(compiledModule: WebAssembly.Module, size: number): ArrayBuffer | null {
  const pages = Math.max(Math.ceil(size / PAGE), 1);
  try {
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const { s } = new WebAssembly.Instance(compiledModule, { m: { m: memory } }).exports;
    sums.set(memory.buffer, s as VectorSum);
    return memory.buffer as ArrayBuffer;
  } catch {
    return null;
  }
}

/** Not small ones: their bytes might move. */
function ordinaryMemory(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(Math.max(size, 4_096)), 0, size);
}

/**
 * An array of `size` bytes, all 0, for frames. It never moves. It shares its `ArrayBuffer` with others, which lives as
 * long as one of them does.
 *
 * @example
 * ```ts
 * const bytes = frameMemory(1_514);
 * bytes.length; // 1_514
 * ```
 */
export function frameMemory(size: number): Uint8Array<ArrayBuffer> {
  const compiledModule = module();
  if (compiledModule === null) return ordinaryMemory(size);
  if (size > LARGEST_SHARE) {
    const own = reserve(compiledModule, size);
    return own === null ? ordinaryMemory(size) : new Uint8Array(own, 0, size);
  }
  if (slab === null || used + size > SLAB) {
    slab = reserve(compiledModule, SLAB);
    used = 0;
  }
  if (slab === null) return ordinaryMemory(size);
  const bytes = new Uint8Array(slab, used, size);
  used += Math.ceil(size / ALIGNMENT) * ALIGNMENT;
  return bytes;
}

/** What sums the words of `buffer` by vectors, or `null` where it is ordinary memory. */
export function vectorSumOf(buffer: ArrayBufferLike): VectorSum | null {
  return sums.get(buffer) ?? null;
}
