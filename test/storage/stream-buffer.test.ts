import { describe, expect, test } from "bun:test";
import { randomBelow, seededRandom } from "../../src/random.ts";
import { BufferPool, NO_PAGE, PAGE_SIZE } from "../../src/storage/buffer-pool.ts";
import { StreamBuffer } from "../../src/storage/stream-buffer.ts";

const bytes = (count: number, first = 0) =>
  Uint8Array.from({ length: count }, (_, i) => (first + i * 7) & 0xff);

function contents(buffer: StreamBuffer): Uint8Array {
  const target = new Uint8Array(buffer.length);
  buffer.copyTo(0, target, 0, buffer.length);
  return target;
}

describe("BufferPool", () => {
  test("lends each page once, and the one given back last first", () => {
    const pool = new BufferPool(3 * PAGE_SIZE);
    const pages = [pool.take(), pool.take(), pool.take()];
    expect(new Set(pages).size).toBe(3);
    expect(pool.take()).toBe(NO_PAGE);
    pool.give(pages[1]);
    expect(pool.freePages).toBe(1);
    expect(pool.take()).toBe(pages[1]);
  });

  test("has one page at least", () => {
    expect(new BufferPool(1).pageCount).toBe(1);
  });
});

describe("StreamBuffer", () => {
  test("an empty buffer holds no page", () => {
    const pool = new BufferPool(8 * PAGE_SIZE);
    const buffer = new StreamBuffer(pool, 4 * PAGE_SIZE);
    expect(pool.freePages).toBe(8);
    buffer.append(bytes(10), 0, 10);
    expect(pool.freePages).toBe(7);
    buffer.drop(10);
    expect(pool.freePages).toBe(8);
  });

  test("takes no more than its limit", () => {
    const buffer = new StreamBuffer(new BufferPool(8 * PAGE_SIZE), 100);
    expect(buffer.append(bytes(150), 0, 150)).toBe(100);
    expect(buffer.append(bytes(1), 0, 1)).toBe(0);
    expect(contents(buffer)).toEqual(bytes(100));
  });

  test("takes what the pool has pages for", () => {
    const buffer = new StreamBuffer(new BufferPool(PAGE_SIZE), 4 * PAGE_SIZE);
    expect(buffer.append(bytes(2 * PAGE_SIZE), 0, 2 * PAGE_SIZE)).toBe(PAGE_SIZE);
    expect(contents(buffer)).toEqual(bytes(PAGE_SIZE));
  });

  test("a full buffer whose head is inside a page survives dropping that page", () => {
    const limit = 2 * PAGE_SIZE;
    const buffer = new StreamBuffer(new BufferPool(8 * PAGE_SIZE), limit);
    buffer.append(bytes(PAGE_SIZE), 0, PAGE_SIZE);
    buffer.drop(PAGE_SIZE - 5);
    const rest = bytes(limit - 5, 99);
    expect(buffer.append(rest, 0, rest.length)).toBe(limit - 5);
    buffer.drop(5);
    expect(contents(buffer)).toEqual(rest);
  });

  test("text stored ahead of a gap is where it belongs when the gap closes", () => {
    const pool = new BufferPool(8 * PAGE_SIZE);
    const buffer = new StreamBuffer(pool, 4 * PAGE_SIZE);
    const all = bytes(PAGE_SIZE + 300);
    buffer.append(all, 0, 50);
    buffer.store(200, all, 200, PAGE_SIZE + 100);
    expect(buffer.length).toBe(50);
    buffer.drop(50);
    expect(pool.freePages).toBe(6);
    buffer.store(0, all, 50, 150);
    buffer.advance(all.length - 50);
    expect(contents(buffer)).toEqual(all.subarray(50));
    buffer.drop(buffer.length);
    expect(pool.freePages).toBe(8);
  });

  test("clear gives back pages that only hold text ahead of a gap", () => {
    const pool = new BufferPool(8 * PAGE_SIZE);
    const buffer = new StreamBuffer(pool, 4 * PAGE_SIZE);
    buffer.store(3 * PAGE_SIZE, bytes(10), 0, 10);
    expect(pool.freePages).toBe(7);
    buffer.clear();
    expect(pool.freePages).toBe(8);
  });

  test("discardAhead keeps what is in order, wherever it lies in the ring", () => {
    const pool = new BufferPool(16 * PAGE_SIZE);
    const limit = 4 * PAGE_SIZE;
    for (const start of [0, 10, PAGE_SIZE, 3 * PAGE_SIZE + 5, 4 * PAGE_SIZE + 9]) {
      const buffer = new StreamBuffer(pool, limit);
      for (let moved = 0; moved < start; moved += PAGE_SIZE) {
        buffer.append(bytes(PAGE_SIZE + 1), 0, Math.min(PAGE_SIZE, start - moved) + 1);
        buffer.drop(Math.min(PAGE_SIZE, start - moved));
      }
      if (buffer.length === 0) buffer.append(bytes(1), 0, 1);
      buffer.drop(buffer.length - 1);
      const text = bytes(PAGE_SIZE, 3);
      buffer.append(text, 0, text.length);
      buffer.store(3 * PAGE_SIZE, bytes(50), 0, 50);
      buffer.discardAhead();
      expect(contents(buffer).subarray(1)).toEqual(text);
      expect(pool.pageCount - pool.freePages).toBeLessThanOrEqual(3);
      buffer.drop(buffer.length);
      expect(pool.freePages).toBe(pool.pageCount);
    }
    const empty = new StreamBuffer(pool, limit);
    empty.store(PAGE_SIZE, bytes(5), 0, 5);
    empty.discardAhead();
    expect(pool.freePages).toBe(pool.pageCount);
  });

  test("grows with what it holds, ahead of a gap as well, wherever it lies in the ring", () => {
    const pool = new BufferPool(16 * PAGE_SIZE);
    const text = bytes(2 * PAGE_SIZE, 5);
    for (const start of [0, 10, PAGE_SIZE, 2 * PAGE_SIZE + 5]) {
      const buffer = new StreamBuffer(pool, 3 * PAGE_SIZE);
      buffer.append(text, 0, 1);
      for (let moved = 0; moved < start; moved += PAGE_SIZE) {
        const count = Math.min(PAGE_SIZE, start - moved);
        buffer.append(text, 0, count);
        buffer.drop(count);
      }
      buffer.append(text, 1, 99);
      buffer.store(buffer.length + 50, text, buffer.length + 50, PAGE_SIZE);
      buffer.grow(6 * PAGE_SIZE + 1);
      expect(buffer.limit).toBe(6 * PAGE_SIZE + 1);
      buffer.grow(PAGE_SIZE);
      expect(buffer.limit).toBe(6 * PAGE_SIZE + 1);
      buffer.drop(1);
      buffer.store(buffer.length, text, 100, 50);
      buffer.advance(50 + PAGE_SIZE);
      expect(contents(buffer)).toEqual(text.subarray(1, 150 + PAGE_SIZE));
      expect(buffer.append(bytes(8 * PAGE_SIZE), 0, 8 * PAGE_SIZE)).toBe(5 * PAGE_SIZE + 1 - 149);
      buffer.clear();
      expect(pool.freePages).toBe(16);
    }
  });

  test("buffers that are empty leave their tables to others, and find none of their pages", () => {
    const random = seededRandom(5);
    const pool = new BufferPool(64 * PAGE_SIZE);
    // Of two sizes, and one whose table is too long to be kept.
    const limits = [2, 2, 2, 4, 4, 80].map((pages) => pages * PAGE_SIZE);
    const buffers = limits.map((limit) => new StreamBuffer(pool, limit));
    const models = buffers.map(() => new Uint8Array(0));
    for (let step = 0; step < 600; step++) {
      const which = randomBelow(random, buffers.length);
      const buffer = buffers[which];
      if (randomBelow(random, 2) === 0) {
        const more = bytes(randomBelow(random, 20_000), step);
        const taken = buffer.append(more, 0, more.length);
        models[which] = Uint8Array.from([...models[which], ...more.subarray(0, taken)]);
      } else {
        const count = randomBelow(random, 3) === 0 ? buffer.length : randomBelow(random, buffer.length + 1);
        buffer.drop(count);
        models[which] = models[which].slice(count);
      }
      expect(Buffer.compare(contents(buffer), models[which])).toBe(0);
    }
    for (const buffer of buffers) buffer.clear();
    expect(pool.freePages).toBe(64);
  });

  test("behaves like an array under random appends, reads, drops and growth", () => {
    const random = seededRandom(1);
    const pool = new BufferPool(6 * PAGE_SIZE);
    const buffer = new StreamBuffer(pool, PAGE_SIZE + 77);
    let model = new Uint8Array(0);
    for (let step = 0; step < 3_000; step++) {
      const size = randomBelow(random, step % 3 === 0 ? 40_000 : 2_000);
      if (step % 1_000 === 999) buffer.grow(buffer.limit + PAGE_SIZE);
      if (random.next() & 1) {
        const chunk = bytes(size, step);
        const taken = buffer.append(chunk, 0, size);
        expect(taken).toBe(Math.min(size, buffer.limit - model.length));
        const grown = new Uint8Array(model.length + taken);
        grown.set(model);
        grown.set(chunk.subarray(0, taken), model.length);
        model = grown;
      } else {
        const count = Math.min(size, model.length);
        buffer.drop(count);
        model = model.slice(count);
      }
      if (buffer.length !== model.length)
        throw new Error(`length ${buffer.length}, not ${model.length}, at ${step}`);
      if (step % 10 === 0 && Buffer.compare(contents(buffer), model) !== 0)
        throw new Error(`contents differ at ${step}`);
    }
    buffer.drop(buffer.length);
    expect(pool.freePages).toBe(6);
  });
});

describe("text that is lent", () => {
  /** A pool whose buffers are lent frames of `size` bytes, the n-th of which begins with n. */
  function lending(pages: number, limit: number) {
    const pool = new BufferPool(pages * PAGE_SIZE);
    pool.lent.isOpen = true;
    const frames = new Uint8Array(64 * PAGE_SIZE).map((_, i) => i * 7 + (i >> 8));
    return { pool, frames, lent: pool.lent, buffer: new StreamBuffer(pool, limit) };
  }

  test("is read from where it lies, and not stored", () => {
    const { pool, frames, buffer } = lending(4, 3 * PAGE_SIZE);
    expect(buffer.lend(0, frames, 100, 20_000)).toBe(20_000);
    expect(buffer.lend(20_000, frames, 50_000, 600)).toBe(600);
    buffer.advance(20_600);
    expect(pool.freePages).toBe(2);
    expect([buffer.memory === frames, buffer.firstAt, buffer.firstLength]).toEqual([true, 100, 20_000]);
    const expected = Buffer.concat([frames.subarray(100, 20_100), frames.subarray(50_000, 50_600)]);
    expect(Buffer.compare(contents(buffer), expected)).toBe(0);
    buffer.drop(20_100);
    expect([buffer.firstAt, buffer.firstLength, pool.freePages]).toEqual([50_100, 500, 3]);
    expect(Buffer.compare(contents(buffer), expected.subarray(20_100))).toBe(0);
    buffer.drop(500);
    expect([pool.freePages, pool.lent.borrower, pool.bytes.some((byte) => byte !== 0)]).toEqual([
      4,
      null,
      false,
    ]);
  });

  test("is stored when the frames are to change, as far as it was not read", () => {
    const { frames, lent, buffer } = lending(4, 3 * PAGE_SIZE);
    buffer.lend(0, frames, 0, 30_000);
    buffer.advance(30_000);
    buffer.drop(10_001);
    const expected = frames.slice(10_001, 30_000);
    lent.settle();
    frames.fill(0);
    expect(Buffer.compare(contents(buffer), expected)).toBe(0);
    expect(lent.borrower).toBeNull();
  });

  test("is nothing but stored where frames do not stay, text is short, or there is some before it", () => {
    const { pool, frames, lent, buffer } = lending(8, 3 * PAGE_SIZE);
    lent.isOpen = false;
    buffer.lend(0, frames, 0, 1_000);
    expect(lent.borrower).toBeNull();
    lent.isOpen = true;
    buffer.advance(1_000);
    buffer.lend(1_000, frames, 1_000, 1_000);
    expect(lent.borrower).toBeNull();
    const gapped = new StreamBuffer(pool, PAGE_SIZE);
    gapped.lend(1_000, frames, 0, 1_000);
    expect(lent.borrower).toBeNull();
    const other = new StreamBuffer(pool, PAGE_SIZE);
    other.lend(0, frames, 0, 100);
    expect(lent.borrower).toBeNull();
    other.clear();
    other.lend(0, frames, 0, 1_000);
    expect(lent.borrower).toBe(other);
    const third = new StreamBuffer(pool, PAGE_SIZE);
    third.lend(0, frames, 0, 1_000);
    expect(lent.borrower).toBe(other);
  });

  test("is stored where what follows is not the next, lies elsewhere, or is one piece too many", () => {
    const follow = [
      { position: 70_000, source: 0, pieces: 1 },
      { position: 1_000, source: 1, pieces: 1 },
      { position: 1_000, source: 0, pieces: 64 },
    ];
    for (const { position, source, pieces } of follow) {
      const { frames, lent, buffer } = lending(8, 6 * PAGE_SIZE);
      const sources = [frames, frames.slice().reverse()];
      buffer.lend(0, frames, 0, 1_000);
      for (let i = 0; i < pieces; i++) {
        expect(lent.borrower).toBe(buffer);
        buffer.lend(position + i * 1_000, sources[source], i * 500, 1_000);
      }
      expect(lent.borrower).toBeNull();
      const got = new Uint8Array(1_000);
      const last = sources[source].slice((pieces - 1) * 500, (pieces - 1) * 500 + 1_000);
      frames.fill(0);
      buffer.copyTo(position + (pieces - 1) * 1_000, got, 0, 1_000);
      expect(Buffer.compare(got, last)).toBe(0);
    }
  });

  test("has its pages: where there are not enough, as much is stored as there are pages for", () => {
    const { pool, frames, lent, buffer } = lending(2, 8 * PAGE_SIZE);
    expect(buffer.lend(0, frames, 0, PAGE_SIZE)).toBe(PAGE_SIZE);
    expect(lent.borrower).toBe(buffer);
    expect(buffer.lend(PAGE_SIZE, frames, PAGE_SIZE, 2 * PAGE_SIZE)).toBe(PAGE_SIZE);
    expect([lent.borrower, pool.freePages]).toEqual([null, 0]);
    buffer.advance(2 * PAGE_SIZE);
    const expected = frames.slice(0, 2 * PAGE_SIZE);
    frames.fill(0);
    expect(Buffer.compare(contents(buffer), expected)).toBe(0);
  });

  test("behaves as if it were stored, whatever is done with two buffers, and wherever they begin", () => {
    const random = seededRandom(3);
    const { pool, frames, lent } = lending(16, PAGE_SIZE);
    const buffers = [0, 1].map(() => new StreamBuffer(pool, 5 * PAGE_SIZE));
    const models: Uint8Array[] = [new Uint8Array(0), new Uint8Array(0)];
    let borrowed = 0;
    for (let step = 0; step < 4_000; step++) {
      const which = random.next() & 1;
      const [buffer, model] = [buffers[which], models[which]];
      const action = randomBelow(random, 10);
      if (action < 5) {
        const count = 1 + randomBelow(random, action === 0 ? 70_000 : 3_000);
        if (model.length + count > buffer.limit) continue;
        const at = randomBelow(random, frames.length - count);
        expect(buffer.lend(model.length, frames, at, count)).toBe(count);
        buffer.advance(count);
        models[which] = Buffer.concat([model, frames.subarray(at, at + count)]);
        if (lent.borrower === buffer) borrowed++;
      } else if (action < 8) {
        const count = randomBelow(random, model.length + 1);
        buffer.drop(count);
        models[which] = model.slice(count);
      } else if (action === 8) {
        lent.settle();
        for (let i = 0; i < frames.length; i++) frames[i] = frames[i] * 5 + 1;
      } else if (randomBelow(random, 4) === 0) {
        buffer.discardAhead();
      } else {
        buffer.clear();
        models[which] = new Uint8Array(0);
      }
      expect(buffer.length).toBe(models[which].length);
      for (const i of [0, 1]) {
        if (step % 7 === 0 && Buffer.compare(contents(buffers[i]), models[i]) !== 0)
          throw new Error(`contents differ at ${step}`);
        if (buffers[i].length === 0) continue;
        const { memory, firstAt, firstLength } = buffers[i];
        const first = memory.subarray(firstAt, firstAt + firstLength);
        if (Buffer.compare(first, models[i].subarray(0, firstLength)) !== 0)
          throw new Error(`the first bytes differ at ${step}`);
      }
    }
    for (const buffer of buffers) buffer.clear();
    expect(pool.freePages).toBe(16);
    expect(borrowed).toBeGreaterThan(300);
  });
});
