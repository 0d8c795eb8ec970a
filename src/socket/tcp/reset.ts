import { copyAddress } from "../../wire/ip-address.ts";
import { ACK, RST, resetTcpOptions, type TcpSegment, tcpSequenceLength } from "../../wire/tcp.ts";
import { seqAdd } from "./seq.ts";

/**
 * RFC 9293 3.5.2, reset generation, group 1 and 2: makes `reset` the reset that answers `seg`, such that the sender of
 * `seg` finds it acceptable. The caller has made sure that `seg` is no reset itself.
 */
export function makeReset(seg: TcpSegment, reset: TcpSegment): void {
  copyAddress(seg.destination, reset.source);
  copyAddress(seg.source, reset.destination);
  reset.sourcePort = seg.destinationPort;
  reset.destinationPort = seg.sourcePort;
  if (seg.flags & ACK) {
    // <SEQ=SEG.ACK><CTL=RST>
    reset.seq = seg.ack;
    reset.ack = 0;
    reset.flags = RST;
  } else {
    // <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
    reset.seq = 0;
    reset.ack = seqAdd(seg.seq, tcpSequenceLength(seg));
    reset.flags = RST | ACK;
  }
  reset.window = 0;
  reset.urgent = 0;
  reset.ecn = 0;
  reset.dscp = 0;
  reset.ttl = 0;
  reset.payloadLength = 0;
  reset.segmentSize = 0;
  resetTcpOptions(reset);
}
