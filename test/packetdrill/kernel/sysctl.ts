import type { TcpSettings } from "../../../src/socket/tcp/settings.ts";
import type { Machine } from "./machine.ts";
import { setFlavour, wholeSegments } from "./profile.ts";
import { controlNamed } from "./tcp-effects.ts";

/** Sysctls of Linux and FreeBSD that name something the stack has: they change its settings for what comes. */

/** Applies a value, and returns whether the stack does as it says. */
type Setter = (machine: Machine, value: string) => boolean;

function settings(machine: Machine): TcpSettings {
  return machine.stack.sockets.context.tcp;
}

function number(change: (tcp: TcpSettings, value: number, machine: Machine) => void): Setter {
  return (machine, value) => {
    const given = Number(value);
    if (!Number.isFinite(given)) return false;
    change(settings(machine), given, machine);
    return true;
  };
}

/** The stack has it one way: whether that is how the script wants it. */
function always(...values: string[]): Setter {
  return (_machine, value) => values.includes(value);
}

/** `min default max` of a buffer, in bytes. */
function buffers(change: (tcp: TcpSettings, usual: number, most: number) => void): Setter {
  return (machine, value) => {
    const [least, usual, most] = value.trim().split(/\s+/).map(Number);
    if (![least, usual, most].every((size) => Number.isInteger(size) && size > 0)) return false;
    change(settings(machine), usual, most);
    return true;
  };
}

const ecn: Setter = (machine, value) => {
  if (!["0", "1", "2"].includes(value)) return false;
  settings(machine).ecn = value === "0" ? false : value === "1" ? true : "passive";
  return true;
};

/** 2 is for those who want every SYN answered by a cookie. */
const synCookies: Setter = (machine, value) => {
  if (!["0", "1", "2"].includes(value)) return false;
  settings(machine).synCookies = value === "2" ? "always" : value === "1";
  return true;
};

const mtuProbing: Setter = (machine, value) => {
  const mode = (["off", "blackhole", "always"] as const)[Number(value)];
  if (mode === undefined) return false;
  settings(machine).mtuProbing = mode;
  return true;
};

const control: Setter = (machine, value) => {
  const name = controlNamed(value);
  if (name === null) return false;
  settings(machine).congestionControl = name;
  return true;
};

/** Linux counts timeouts: the time that so many of them take, from its smallest RTO on. */
function timeOfRetries(retries: number): number {
  let total = 0;
  for (let i = 0; i <= retries; i++) total += Math.min(200 * 2 ** i, 120_000);
  return total;
}

const LINUX: Readonly<Record<string, Setter>> = {
  "net.ipv4.tcp_timestamps": number((tcp, value) => {
    tcp.timestamps = value !== 0;
  }),
  "net.ipv4.tcp_sack": number((tcp, value) => {
    tcp.sack = value !== 0;
  }),
  "net.ipv4.tcp_window_scaling": number((tcp, value) => {
    tcp.windowScale = value !== 0;
  }),
  "net.ipv4.tcp_ecn": ecn,
  "net.ipv4.tcp_congestion_control": control,
  "net.ipv4.tcp_syncookies": synCookies,
  "net.ipv4.tcp_mtu_probing": mtuProbing,
  "net.ipv4.tcp_rmem": buffers((tcp, usual, most) => {
    // Half of it is for Linux's overhead; the largest one says how windows are scaled.
    tcp.receiveBuffer = Math.min(Math.max(usual >> 1, 4 * 256), most);
    tcp.maxReceiveBuffer = most;
  }),
  "net.ipv4.tcp_wmem": buffers((tcp, usual, most) => {
    tcp.sendBuffer = usual;
    tcp.maxSendBuffer = most;
  }),
  "net.core.rmem_max": number((_tcp, value, machine) => {
    machine.mostReceiveBuffer = value;
  }),
  "net.core.wmem_max": number((_tcp, value, machine) => {
    machine.mostSendBuffer = value;
  }),
  "net.core.somaxconn": number((_tcp, value, machine) => {
    machine.mostBacklog = value;
  }),
  "net.ipv4.tcp_fin_timeout": number((tcp, value) => {
    tcp.finWait2Ms = value * 1_000;
  }),
  "net.ipv4.tcp_keepalive_time": number((tcp, value) => {
    tcp.keepAliveIdleMs = value * 1_000;
  }),
  "net.ipv4.tcp_keepalive_intvl": number((tcp, value) => {
    tcp.keepAliveIntervalMs = value * 1_000;
  }),
  "net.ipv4.tcp_keepalive_probes": number((tcp, value) => {
    tcp.keepAliveProbes = value;
  }),
  "net.ipv4.tcp_syn_retries": number((_tcp, value, machine) => {
    machine.synRetries = value;
  }),
  "net.ipv4.tcp_synack_retries": number((tcp, value) => {
    tcp.synAckRetries = value;
  }),
  "net.ipv4.tcp_retries2": number((tcp, value) => {
    tcp.userTimeoutMs = timeOfRetries(value);
  }),
  "net.ipv4.tcp_rto_min_us": number((tcp, value) => {
    tcp.minRtoMs = value / 1_000;
  }),
  "net.ipv4.tcp_rto_max_ms": number((tcp, value) => {
    tcp.maxRtoMs = value;
  }),
  "net.ipv4.tcp_notsent_lowat": number((_tcp, value, machine) => {
    machine.notSentLimit = value >>> 0;
  }),
  "net.ipv4.tcp_fastopen": always("0"),
  "net.ipv4.tcp_slow_start_after_idle": number((tcp, value) => {
    tcp.slowStartAfterIdle = value !== 0;
  }),
  "net.ipv4.tcp_early_retrans": always("3", "4"),
  "net.ipv4.tcp_recovery": always("1"),
  "net.ipv4.tcp_frto": always("1", "2"),
  "net.ipv4.tcp_dsack": always("1"),
  "net.ipv4.tcp_reordering": always("3"),
  "net.ipv4.tcp_autocorking": always("0"),
  "net.ipv4.tcp_no_metrics_save": always("1"),
  "net.ipv4.tcp_abort_on_overflow": always("0"),
  "net.ipv4.tcp_moderate_rcvbuf": always("1"),
  "net.ipv4.tcp_tw_reuse": always("0"),
};

const FREEBSD: Readonly<Record<string, Setter>> = {
  "net.inet.tcp.rfc1323": (machine, value) => {
    if (!["0", "1", "2", "3"].includes(value)) return false;
    settings(machine).windowScale = value === "1" || value === "2";
    settings(machine).timestamps = value === "1" || value === "3";
    return true;
  },
  "net.inet.tcp.sack.enable": number((tcp, value) => {
    tcp.sack = value !== 0;
  }),
  "net.inet.tcp.ecn.enable": ecn,
  "net.inet.tcp.cc.algorithm": control,
  "net.inet.tcp.msl": number((tcp, value) => {
    tcp.mslMs = value;
  }),
  "net.inet.tcp.keepidle": number((tcp, value) => {
    tcp.keepAliveIdleMs = value;
  }),
  "net.inet.tcp.keepintvl": number((tcp, value) => {
    tcp.keepAliveIntervalMs = value;
  }),
  "net.inet.tcp.keepcnt": number((tcp, value) => {
    tcp.keepAliveProbes = value;
  }),
  "net.inet.tcp.finwait2_timeout": number((tcp, value) => {
    tcp.finWait2Ms = value;
  }),
  "net.inet.tcp.rexmit_initial": number((tcp, value) => {
    tcp.initialRtoMs = value;
  }),
  "net.inet.tcp.rexmit_min": number((tcp, value) => {
    tcp.minRtoMs = value;
  }),
  "net.inet.tcp.delacktime": number((tcp, value) => {
    tcp.delayedAckMs = value;
  }),
  "net.inet.tcp.delayed_ack": always("1"),
  "net.inet.tcp.recvspace": number((tcp, value, machine) => {
    machine.receiveSpace = value;
    tcp.receiveBuffer = wholeSegments(value);
    tcp.maxReceiveBuffer = Math.max(tcp.maxReceiveBuffer, tcp.receiveBuffer);
  }),
  "net.inet.tcp.sendspace": number((tcp, value) => {
    tcp.sendBuffer = value;
  }),
  "net.inet.tcp.recvbuf_max": number((tcp, value) => {
    tcp.maxReceiveBuffer = Math.max(value, tcp.receiveBuffer);
  }),
  "net.inet.tcp.sendbuf_max": number((tcp, value) => {
    tcp.maxSendBuffer = Math.max(value, tcp.sendBuffer);
  }),
  "net.inet.tcp.tolerate_missing_ts": number((tcp, value) => {
    tcp.requireTimestamps = value === 0;
  }),
  "net.inet.tcp.keepinit": number((tcp, value) => {
    tcp.connectTimeoutMs = value;
  }),
  "kern.ipc.maxsockbuf": number((tcp, value) => {
    tcp.maxReceiveBuffer = Math.max(value, tcp.receiveBuffer);
    tcp.maxSendBuffer = Math.max(value, tcp.sendBuffer);
  }),
  "net.inet.tcp.rfc3042": always("1"),
  "net.inet.tcp.rfc3390": always("1"),
  "net.inet.tcp.rfc6675_pipe": always("1"),
  "net.inet.tcp.do_prr": always("1"),
  "net.inet.tcp.do_lrd": always("1"),
  "net.inet.tcp.initcwnd_segments": always("10"),
  "net.inet.tcp.path_mtu_discovery": always("1"),
  "net.inet.tcp.hostcache.enable": always("0"),
  "net.inet.tcp.hostcache.purgenow": always("1"),
  "net.inet.tcp.fastopen.client_enable": always("0"),
  "net.inet.tcp.fastopen.server_enable": always("0"),
  "net.inet.tcp.blackhole": always("0"),
  "net.inet.tcp.drop_synfin": always("0"),
  "net.inet.tcp.insecure_rst": always("0"),
  "net.inet.tcp.insecure_syn": always("0"),
  "net.inet.tcp.insecure_ack": always("0"),
  "net.inet.tcp.functions_default": always("freebsd"),
};

/** Returns whether the stack does what the sysctl says, now. */
export function setSysctl(machine: Machine, name: string, value: string): boolean {
  const dotted = name.startsWith("/proc/sys/") ? name.slice("/proc/sys/".length).replaceAll("/", ".") : name;
  const written = value.trim().replace(/^"(.*)"$/, "$1");
  const isBsd = dotted.startsWith("net.inet.") || dotted.startsWith("kern.ipc.");
  if (isBsd && machine.flavour !== "freebsd") setFlavour(machine, "freebsd");
  const setter = LINUX[dotted] ?? FREEBSD[dotted];
  return setter?.(machine, written) ?? false;
}
