import { LentText } from "./lent-text.ts";

/** Bytes of one page: large enough that few copies straddle two, small enough for a connection with one request. */
export const PAGE_SHIFT = 14;
export const PAGE_SIZE = 1 << PAGE_SHIFT;

/** Slots of the tables that are kept for the next buffer: those of a buffer of a MiB. */
const LONGEST_TABLE = (1 << (20 - PAGE_SHIFT)) + 1;

/** No page. */
export const NO_PAGE = -1;

/**
 * Every byte that sockets may buffer: one slab, cut into pages, made when the stack is. The system backs a page with
 * memory when it is first touched, so a large pool costs nothing until it is used.
 */
export class BufferPool {
  readonly bytes: Uint8Array;
  readonly pageCount: number;
  /** Pages that are for text which can be read at once: neither writers get them, nor text ahead of a gap. */
  readonly reserve: number;
  freePages: number;
  /** Pages given back so far: who waits for one need not look before this has changed. */
  returns = 0;
  /** Text that one of the buffers has not copied yet. */
  readonly lent = new LentText();
  /** Stack of free page numbers; the page freed last is taken first, while it is in the cache. */
  private readonly free: Int32Array;
  /** Tables of slots of buffers that are empty now, by their length: no more than there were pages in use at a time. */
  private readonly tables: Int32Array<ArrayBuffer>[][] = [];

  constructor(size: number) {
    this.pageCount = Math.max(1, Math.floor(size / PAGE_SIZE));
    this.reserve = Math.max(1, this.pageCount >> 2);
    this.bytes = new Uint8Array(new ArrayBuffer(this.pageCount * PAGE_SIZE));
    this.free = new Int32Array(this.pageCount);
    for (let i = 0; i < this.pageCount; i++) this.free[i] = this.pageCount - 1 - i;
    this.freePages = this.pageCount;
  }

  /** A page number, or `NO_PAGE` when the pool is empty. */
  take(): number {
    if (this.freePages === 0) return NO_PAGE;
    return this.free[--this.freePages];
  }

  give(page: number): void {
    this.free[this.freePages++] = page;
    this.returns++;
  }

  /** A table of `length` slots, with no page in any. */
  takeTable(length: number): Int32Array<ArrayBuffer> {
    const spare = length < this.tables.length ? this.tables[length].pop() : undefined;
    return spare ?? new Int32Array(length).fill(NO_PAGE);
  }

  /** Takes a table back in which there is no page, unless it is long: returns whether it has. */
  giveTable(table: Int32Array<ArrayBuffer>): boolean {
    const { tables } = this;
    if (table.length > LONGEST_TABLE) return false;
    while (tables.length <= table.length) tables.push([]);
    tables[table.length].push(table);
    return true;
  }
}
