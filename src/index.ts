export type { Capabilities, Device, DeviceEvent, Medium } from "./device.ts";
export { Frame } from "./device.ts";
export { type ErrorCode, StackError } from "./errors.ts";
export type { OnDeviceEvent } from "./host/attachment.ts";
export type { CloseOptions, Linger } from "./host/closing.ts";
export type { HostConnectOptions } from "./host/connect.ts";
export type { Connection } from "./host/connection.ts";
export {
  type Host,
  type HostCloseOptions,
  type HostCloseResult,
  type HostOptions,
  type HostSettings,
  type MultiHostOptions,
  open,
  type SingleHostOptions,
} from "./host/host.ts";
export type { ConnectionRequest, HostListenOptions, Listener } from "./host/listener.ts";
export type { WaitOptions } from "./host/pending.ts";
export type { EchoError, EchoReply, EchoRequest, Pinger, PingerOptions, PingOptions } from "./host/ping.ts";
export type { Runtime, Timer } from "./host/runtime.ts";
export type { Datagram, HostUdpOptions, UdpDestination, UdpEndpoint } from "./host/udp.ts";
export { type Random, seededRandom, systemRandom } from "./random.ts";
export {
  ACCEPTABLE,
  CLOSED_EVENT,
  CONNECTED,
  ERROR,
  FINISHED,
  READABLE,
  WRITABLE,
} from "./socket/events.ts";
export { type IcmpBuffers, IcmpMessage, type IcmpSocket } from "./socket/icmp-socket.ts";
export type { BindOptions, IcmpOptions } from "./socket/socket-set.ts";
export type { CongestionControlName } from "./socket/tcp/congestion/control.ts";
export type { RecoveryPhase, TcpInfo } from "./socket/tcp/info.ts";
export type {
  AcceptPredicate,
  AcceptVerdict,
  ListenOptions,
  SocketRequest,
  TcpListener,
} from "./socket/tcp/listener.ts";
export type { ConnectOptions } from "./socket/tcp/open.ts";
export { TcpSettings } from "./socket/tcp/settings.ts";
export type { Consumer, TcpState } from "./socket/tcp/tcb.ts";
export type { TcpSocket } from "./socket/tcp/tcp-socket.ts";
export type { TcpTrace, TcpTraceEvent, TraceSegment } from "./socket/tcp/trace.ts";
export type { Tuning, TuningOptions } from "./socket/tcp/tuning.ts";
export { END_OF_STREAM } from "./socket/tcp/user-calls.ts";
export type { UdpBuffers, UdpOrigin, UdpSocket } from "./socket/udp-socket.ts";
export { type InterfaceOptions, type RouteOptions, Stack, type StackOptions } from "./stack.ts";
export type { Stats } from "./stats.ts";
export { NEVER } from "./storage/deadline-heap.ts";
export {
  ANY_IPV4,
  Cidr,
  cidrBroadcast,
  cidrContains,
  cidrNetwork,
  formatAddress,
  formatCidr,
  IpAddress,
  ipv4Address,
  parseAddress,
  parseCidr,
  sameAddress,
} from "./wire/ip-address.ts";
export type { WorkerPlace } from "./wire/worker-share.ts";
