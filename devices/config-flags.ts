import { StackError } from "../src/errors.ts";
import {
  type Config,
  checkAddress,
  checkCidr,
  checkMtu,
  checkName,
  checkPath,
  checkType,
  complete,
  readSettingsFile,
  type Settings,
} from "./config.ts";

/** Every flag with a value that may stand behind it, for messages. */
const FLAGS: Readonly<Record<string, string>> = {
  "--config": "examples/config/tun.toml",
  "--device": "tun",
  "--name": "tun7",
  "--address": "192.168.69.1/24",
  "--host-address": "192.168.69.100/24",
  "--mtu": "1500",
  "--gateway": "192.168.69.100",
  "--capture": "frames.pcap",
};

/** What `configFromFlags` understands, one line a flag, for a program's own help. */
export const CONFIG_USAGE = `\
  --config FILE          settings from a .toml or .json file; the flags below override it
  --device tun|memory    what carries the frames (tun)
  --name NAME            the TUN interface's name (chosen by the kernel)
  --host-address CIDR    the kernel's address on the TUN interface (192.168.69.100/24)
  --address CIDR         the stack's own address; may be repeated (192.168.69.1/24)
  --gateway ADDRESS      where packets to other networks go
  --mtu BYTES            largest packet (1500)
  --capture FILE         record every frame for tcpdump and Wireshark`;

/**
 * Takes the flags of the device and the interface out of a command line; see {@link CONFIG_USAGE}.
 *
 * `--flag value` and `--flag=value` both work; of a repeated flag the last one counts, except for `--address`, which
 * adds up. Without `--config` and flags the defaults of `parseConfig` are what comes out. What stands behind `--` is
 * left alone.
 *
 * @param argv arguments without the program's name: `Bun.argv.slice(2)`
 * @returns the complete configuration, and the arguments that are not part of it, in their order
 * @throws StackError `EINVAL` that names the flag, and what `loadConfig` throws for the file
 *
 * @example
 * ```ts
 * const { config, rest } = configFromFlags(["--mtu=1400", "--port", "80"]);
 * config.device.mtu; // 1400
 * rest; // ["--port", "80"]
 * ```
 */
export function configFromFlags(argv: readonly string[]): { config: Config; rest: string[] } {
  const rest: string[] = [];
  const flags: Settings = {};
  const addresses: string[] = [];
  let file: Settings = {};
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i];
    if (argument === "--") {
      rest.push(...argv.slice(i));
      break;
    }
    const equals = argument.indexOf("=");
    const flag = equals < 0 ? argument : argument.slice(0, equals);
    if (!Object.hasOwn(FLAGS, flag)) {
      rest.push(argument);
      continue;
    }
    const value = equals < 0 ? argv[++i] : argument.slice(equals + 1);
    if (value === undefined || value === "" || (equals < 0 && value.startsWith("--"))) {
      throw new StackError("EINVAL", `${flag} needs a value: write for example ${flag} ${FLAGS[flag]}.`);
    }
    if (flag === "--config") file = readSettingsFile(value);
    else if (flag === "--device") flags.type = checkType(value, flag);
    else if (flag === "--name") flags.name = checkName(value, flag);
    else if (flag === "--mtu") flags.mtu = checkMtu(/^[0-9]+$/.test(value) ? Number(value) : value, flag);
    else if (flag === "--host-address") flags.hostAddress = checkCidr(value, flag);
    else if (flag === "--gateway") flags.gateway = checkAddress(value, flag);
    else if (flag === "--capture") flags.capture = checkPath(value, flag);
    else addresses.push(checkCidr(value, flag).value);
  }
  if (addresses.length > 0) flags.addresses = { value: addresses, where: "--address" };
  if (flags.type?.value === "memory") {
    // The file is for a TUN device; what it says about that one is not for this.
    const { name, hostAddress, ...others } = file;
    file = others;
  }
  return { config: complete({ ...file, ...flags }), rest };
}
