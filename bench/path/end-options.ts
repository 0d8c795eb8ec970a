import { parseArgs } from "node:util";

/** What both kinds of ends are told. */
export interface EndOptions {
  readonly role: "send" | "receive";
  /** The receiver's address and port. */
  readonly to: string;
  readonly port: number;
  /** The sender's congestion control. */
  readonly cc: string;
  /** How long a receiver measures; 0 for the whole stream. */
  readonly seconds: number;
  /** What a sender sends; 0 for no end. */
  readonly bytes: number;
  /** Of tapwire: number of its interface in the namespace, its address there, and of its buffers in bytes. */
  readonly wire: string;
  readonly address: string;
  readonly gateway: string;
  readonly buffer: number;
}

export function endOptions(): EndOptions {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      to: { type: "string", default: "" },
      port: { type: "string", default: "9000" },
      cc: { type: "string", default: "cubic" },
      seconds: { type: "string", default: "0" },
      bytes: { type: "string", default: "0" },
      wire: { type: "string", default: "wire0" },
      address: { type: "string", default: "" },
      gateway: { type: "string", default: "" },
      buffer: { type: "string", default: "0" },
    },
  });
  const [role] = positionals;
  if (role !== "send" && role !== "receive") throw new Error("say send or receive");
  const { to, cc, wire, address, gateway } = values;
  const [port, seconds, bytes, buffer] = [values.port, values.seconds, values.bytes, values.buffer].map(
    Number,
  );
  return { role, to, port, cc, seconds, bytes, wire, address, gateway, buffer };
}
