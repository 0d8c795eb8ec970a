import type { Value } from "../script.ts";
import { CallError } from "./call.ts";
import type { Epoll } from "./epoll.ts";
import type { Machine } from "./machine.ts";
import type { MemoryFile, PipeEnd } from "./pipe.ts";
import type { TcpFile } from "./tcp-file.ts";
import type { UdpFile } from "./udp-file.ts";
import { toNumber } from "./values.ts";

/** What a descriptor stands for. */
export type File = TcpFile | UdpFile | Epoll | PipeEnd | MemoryFile;

const FIRST = 3;

/**
 * Gives a file a number: the one that the script expects, which is its own way of counting, else the lowest that is free.
 *
 * @throws CallError where the script gives a number twice
 */
export function open(machine: Machine, file: File, expected: Value): number {
  const { descriptors } = machine;
  let fd = FIRST;
  while (descriptors.has(fd)) fd++;
  if (expected.kind !== "any") {
    const wanted = toNumber(expected);
    // A script that expects a failure is told the number that there is instead of it.
    if (wanted >= 0) fd = wanted;
  }
  if (descriptors.has(fd)) throw new CallError(`descriptor ${fd} is open already: close it first`);
  descriptors.set(fd, file);
  return fd;
}

/** The file that an argument names, or `null`: EBADF. */
export function fileOf(machine: Machine, value: Value): File | null {
  return machine.descriptors.get(toNumber(value)) ?? null;
}

/** The file is not used by any descriptor any more. */
export function isOpen(machine: Machine, file: File): boolean {
  for (const other of machine.descriptors.values()) if (other === file) return true;
  return false;
}
