/** Files that are no sockets, as far as sendfile and splice need them: bytes are counted, none is kept. */

export class Pipe {
  static readonly CAPACITY = 65_536;
  bytes = 0;
  readers = 1;
  writers = 1;

  get room(): number {
    return Pipe.CAPACITY - this.bytes;
  }
}

export class PipeEnd {
  readonly kind = "pipe";
  readonly pipe: Pipe;
  readonly side: "read" | "write";
  flags = 0;

  constructor(pipe: Pipe, side: "read" | "write") {
    this.pipe = pipe;
    this.side = side;
  }
}

/** A file of a length. */
export class MemoryFile {
  readonly kind = "memory";
  length: number;
  offset = 0;
  flags: number;

  constructor(length: number, flags: number) {
    this.length = length;
    this.flags = flags;
  }
}
