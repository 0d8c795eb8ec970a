import { ScriptError } from "../language/reader.ts";
import type { Script } from "../script.ts";

/** How a script is run: from the command line, and from the options at its top, which count more. */
export class Settings {
  ipVersion: "ipv4" | "ipv4-mapped-ipv6" | "ipv6" = "ipv4";
  localIp = "192.168.0.1";
  remoteIp = "192.0.2.1";
  gatewayIp = "192.168.0.254";
  netmaskIp = "255.255.0.0";
  bindPort = 8080;
  connectPort = 8080;
  mtu = 1500;
  toleranceUs = 4_000;
  /** Of the time from one event to the next, where that is more than `toleranceUs`. */
  tolerancePercent = 12.5;
  /** A segment, or several that add up to one, must be as expected. */
  strictSegments = false;
  /** The options of a segment must have the order and the padding that is expected. */
  strictOptions = false;
  timestampTickUs = 0;
  isEchoScaled = false;
  nonFatalPacket = false;
  nonFatalSyscall = false;
  verbose = false;
  dryRun = false;
  /** Whether packets that nobody expected are a failure at the end of the script, too. */
  failOnLeftovers = false;
  /** Bytes that the stack has for buffers. They are made for each run: where there are thousands, less is faster. */
  memory = 64 * 1024 * 1024;
  readonly defines = new Map<string, string>();
}

interface Option {
  readonly takesValue: boolean;
  /** Returns what is wrong with the value. */
  apply(settings: Settings, value: string): string | null;
}

const value = (apply: Option["apply"]): Option => ({ takesValue: true, apply });
const flag = (apply: (settings: Settings) => void): Option => ({
  takesValue: false,
  apply: (settings) => {
    apply(settings);
    return null;
  },
});
const number = (
  name: "bindPort" | "connectPort" | "mtu" | "toleranceUs" | "tolerancePercent" | "timestampTickUs",
) =>
  value((settings, text) => {
    const parsed = Number(text);
    if (text === "" || !(parsed >= 0)) return "is no number";
    const isPort = name === "bindPort" || name === "connectPort";
    if (isPort && !(Number.isInteger(parsed) && parsed >= 1 && parsed <= 65_535)) return "is no port";
    settings[name] = parsed;
    return null;
  });
const address = (name: "localIp" | "remoteIp" | "gatewayIp" | "netmaskIp") =>
  value((settings, text) => {
    settings[name] = text.replace(/\/[0-9]+$/, "");
    return null;
  });
const meaningless = (takesValue: boolean): Option => ({ takesValue, apply: () => null });
const refused = (takesValue: boolean, why: string): Option => ({ takesValue, apply: () => why });

const WIRE = "is not supported: this runner has the stack and its peer in one process";

/** All options of the original, and two of our own at the end. */
const OPTIONS: Record<string, Option> = {
  ip_version: value((settings, text) => {
    if (text !== "ipv4" && text !== "ipv6" && text !== "ipv4-mapped-ipv6") {
      return "is none of ipv4, ipv6 and ipv4-mapped-ipv6";
    }
    settings.ipVersion = text;
    return null;
  }),
  bind_port: number("bindPort"),
  connect_port: number("connectPort"),
  local_ip: address("localIp"),
  remote_ip: address("remoteIp"),
  gateway_ip: address("gatewayIp"),
  netmask_ip: address("netmaskIp"),
  mtu: number("mtu"),
  tolerance_usecs: number("toleranceUs"),
  tolerance_percent: number("tolerancePercent"),
  tcp_ts_tick_usecs: number("timestampTickUs"),
  tcp_ts_ecr_scaled: flag((settings) => {
    settings.isEchoScaled = true;
  }),
  strict_segments: flag((settings) => {
    settings.strictSegments = true;
  }),
  non_fatal: value((settings, text) => {
    for (const what of text.split(/[, ]+/)) {
      if (what === "packet") settings.nonFatalPacket = true;
      else if (what === "syscall") settings.nonFatalSyscall = true;
      else return "is none of packet and syscall";
    }
    return null;
  }),
  define: value((settings, text) => {
    const found = /^([A-Za-z_]\w*)=([\s\S]*)$/.exec(text);
    if (found === null) return "is not NAME=VALUE";
    settings.defines.set(found[1] ?? "", found[2] ?? "");
    return null;
  }),
  verbose: flag((settings) => {
    settings.verbose = true;
  }),
  dry_run: flag((settings) => {
    settings.dryRun = true;
  }),
  speed: meaningless(true),
  mss: meaningless(true),
  debug: meaningless(false),
  persistent_tun_dev: meaningless(false),
  is_anyip: meaningless(false),
  send_omit_free: meaningless(false),
  code_command: meaningless(true),
  code_format: meaningless(true),
  code_sockopt: meaningless(true),
  init_scripts: meaningless(true),
  so_filename: refused(true, "is not supported: the stack under test is tapwire"),
  so_flags: refused(true, "is not supported: the stack under test is tapwire"),
  udp_encaps: refused(true, "is not supported"),
  wire_client: refused(false, WIRE),
  wire_server: refused(false, WIRE),
  wire_server_ip: refused(true, WIRE),
  wire_server_at: refused(true, WIRE),
  wire_server_port: refused(true, WIRE),
  wire_client_dev: refused(true, WIRE),
  wire_server_dev: refused(true, WIRE),
  strict_options: flag((settings) => {
    settings.strictOptions = true;
  }),
  fail_on_leftovers: flag((settings) => {
    settings.failOnLeftovers = true;
  }),
};

/** Whether the option wants a value, which on a command line may be the next argument; `null`: there is no such option. */
export function takesValue(name: string): boolean | null {
  return OPTIONS[name]?.takesValue ?? null;
}

/** Applies one option; returns what is wrong with it, or `null`. */
export function applyOption(settings: Settings, name: string, text: string): string | null {
  const option = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : undefined;
  if (option === undefined) return `--${name} is not known; README.md has all options`;
  const wrong = option.apply(settings, text);
  return wrong === null ? null : `--${name}${text === "" ? "" : `=${text}`} ${wrong}`;
}

/**
 * Settings of a command line with a script's own on top.
 *
 * @throws ScriptError
 */
export function settingsFor(script: Script, given: Settings): Settings {
  const settings = copy(given);
  for (const { name, value: text, place } of script.options) {
    const wrong = applyOption(settings, name, text);
    if (wrong !== null) throw new ScriptError(place, wrong);
  }
  return settings;
}

function copy(given: Settings): Settings {
  const settings = Object.assign(new Settings(), given, { defines: new Map(given.defines) });
  return settings;
}
