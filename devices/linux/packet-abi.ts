/** What `linux/if_packet.h` and `linux/socket.h` say, as far as a packet socket needs it: numbers and structures. */

export const AF_PACKET = 17;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;
/** Every protocol, in network byte order as `sll_protocol` wants it. */
const ETH_P_ALL = 0x0003;
export const ARPHRD_ETHER = 1;

export const SOL_SOCKET = 1;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_ERROR = 4;
export const SO_ATTACH_FILTER = 26;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;

export const SOL_PACKET = 263;
export const PACKET_ADD_MEMBERSHIP = 1;
export const PACKET_RX_RING = 5;
export const PACKET_STATISTICS = 6;
export const PACKET_AUXDATA = 8;
export const PACKET_VERSION = 10;
export const PACKET_RESERVE = 12;
export const PACKET_TX_RING = 13;
export const PACKET_LOSS = 14;
export const PACKET_VNET_HDR = 15;
export const PACKET_FANOUT = 18;
export const PACKET_QDISC_BYPASS = 20;
export const PACKET_FANOUT_DATA = 22;
export const PACKET_IGNORE_OUTGOING = 23;

/** A program of ours says which socket of the group gets a frame, and the first member is told the group's number. */
export const PACKET_FANOUT_CBPF = 6;
export const PACKET_FANOUT_FLAG_UNIQUEID = 0x2000;

/** `sll_pkttype` of a frame that this machine sends. */
export const PACKET_OUTGOING = 4;
export const PACKET_MR_PROMISC = 1;
export const PACKET_MR_ALLMULTI = 2;

export const TPACKET_V2 = 1;
/** Bits of `tp_status` of a received frame. */
export const TP_STATUS_USER = 1;
export const TP_STATUS_VLAN_VALID = 0x10;
export const TP_STATUS_VLAN_TPID_VALID = 0x40;
/** States of a frame in the transmit ring. */
export const TP_STATUS_AVAILABLE = 0;
export const TP_STATUS_SEND_REQUEST = 1;

export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;

/** `struct sockaddr_ll`: where bind(2) ties a packet socket to. Protocol 0 is no protocol: nothing is received. */
export function packLinkAddress(index: number, receiving: boolean): Uint8Array {
  const address = new DataView(new ArrayBuffer(20));
  address.setUint16(0, AF_PACKET, true);
  address.setUint16(2, receiving ? ETH_P_ALL : 0);
  address.setInt32(4, index, true);
  return new Uint8Array(address.buffer);
}

/** `struct packet_mreq`. */
export function packMembership(index: number, type: number): Uint8Array {
  const request = new DataView(new ArrayBuffer(16));
  request.setInt32(0, index, true);
  request.setUint16(4, type, true);
  return new Uint8Array(request.buffer);
}

/** `struct tpacket_req`: a ring of blocks, each with as many slots as it has room for. */
export function packRingRequest(blockSize: number, blocks: number, slotSize: number): Uint8Array {
  const slots = Math.floor(blockSize / slotSize) * blocks;
  return new Uint8Array(new Uint32Array([blockSize, blocks, slotSize, slots]).buffer);
}

/** A C `int`. */
export function packInt(value: number): Uint8Array {
  return new Uint8Array(new Int32Array([value]).buffer);
}
