import { readdirSync } from "node:fs";
import type { Device, Frame } from "../../src/device.ts";
import { Network } from "../../src/sim/index.ts";
import { LINKTYPE_ETHERNET, readCapture } from "../support/pcap-reader.ts";
import { PEER, VICTIM } from "./target.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url);
const LARGEST = 2_048;

/** Frames that others have sent, to be spoiled: IP packets, and Ethernet frames. */
export interface Corpus {
  readonly packets: readonly Uint8Array[];
  readonly frames: readonly Uint8Array[];
}

let loaded: Corpus | null = null;

/** The captures that are fixtures, and another run of two of our stacks. */
export function corpus(): Corpus {
  loaded ??= load();
  return loaded;
}

function load(): Corpus {
  const packets = recordedRun();
  const frames: Uint8Array[] = [];
  const names = readdirSync(FIXTURES, { recursive: true, encoding: "utf8" });
  for (const name of names.filter((each) => each.endsWith(".pcap")).sort()) {
    const capture = readCapture(new URL(name, FIXTURES));
    const isEthernet = capture.linkType === LINKTYPE_ETHERNET;
    for (const { bytes } of capture.packets) {
      if (bytes.length > LARGEST) continue;
      if (isEthernet) frames.push(bytes);
      packets.push(isEthernet ? bytes.subarray(14) : bytes);
    }
  }
  return { packets, frames };
}

/** Each packet of a transfer, from the handshake to the last FIN. */
function recordedRun(): Uint8Array[] {
  const packets: Uint8Array[] = [];
  const record = (device: Device): Device => {
    const keep = ({ bytes, offset, length }: Frame) =>
      void packets.push(bytes.slice(offset, offset + length));
    return {
      get capabilities() {
        return device.capabilities;
      },
      receive(frame) {
        if (!device.receive(frame)) return false;
        keep(frame);
        return true;
      },
      transmit: (length) => device.transmit(length),
      commit(frame) {
        keep(frame);
        device.commit(frame);
      },
      onReadable: (callback) => device.onReadable(callback),
      onWritable: (callback) => device.onWritable(callback),
      onEvent: (callback) => device.onEvent?.(callback),
      close: () => device.close(),
    };
  };
  const net = new Network({ seed: 20_261_121 });
  const small = { memory: 1 << 20, maxSockets: 8 };
  const server = net.stack({ addresses: [`${VICTIM}/24`], wrap: record, ...small });
  const client = net.stack({ addresses: [`${PEER}/24`], ...small });
  net.link(client, server, { delayMs: 5, loss: 0.05, reorder: 0.05 });
  const listener = server.stack.sockets.listen({ port: 80 });
  const socket = client.stack.sockets.connect({ address: VICTIM, port: 80 });
  client.wake();
  net.runFor(5_000);
  const accepted = listener.accept();
  socket.write(new Uint8Array(30_000).fill(7));
  accepted?.write(new Uint8Array(30_000).fill(9));
  client.wake();
  server.wake();
  net.runFor(5_000);
  socket.shutdown();
  accepted?.shutdown();
  client.wake();
  server.wake();
  net.runFor(5_000);
  return packets;
}
