/** What commands do to the stack under test. */
export interface ShellTarget {
  /** Returns whether the stack has anything like it. */
  sysctl(name: string, value: string): boolean;
  setMtu(mtu: number): void;
  /** The script was written for Linux's TCP. */
  actLikeLinux(): void;
  /** `open` is to find a file of so many bytes. */
  makeFile(path: string, length: number): void;
  sleep(ms: number): void;
  note(text: string): void;
}

/** What the scripts of the Linux kernel and of Google set before anything else: `defaults.sh`. */
const DEFAULTS: readonly (readonly [string, string])[] = [
  ["net.ipv4.tcp_rmem", "4096 540000 15728640"],
  ["net.ipv4.tcp_wmem", "4096 262144 4194304"],
  ["net.ipv4.tcp_timestamps", "1"],
  ["net.ipv4.tcp_syn_retries", "5"],
  ["net.ipv4.tcp_synack_retries", "5"],
  ["net.ipv4.tcp_frto", "2"],
  ["net.ipv4.tcp_sack", "1"],
  ["net.ipv4.tcp_dsack", "1"],
  ["net.ipv4.tcp_reordering", "3"],
  ["net.ipv4.tcp_congestion_control", "cubic"],
  ["net.ipv4.tcp_slow_start_after_idle", "0"],
  ["net.ipv4.tcp_early_retrans", "4"],
  ["net.ipv4.tcp_recovery", "1"],
  ["net.ipv4.tcp_ecn", "0"],
  ["net.ipv4.tcp_notsent_lowat", "4294967295"],
  ["net.ipv4.tcp_fastopen", "0x70403"],
  ["net.ipv4.tcp_fastopen_key", "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4"],
  ["net.ipv4.tcp_syncookies", "1"],
];

/** What Linux has where a script says nothing: it decides the window scale. */
export const LINUX_USUAL: readonly (readonly [string, string])[] = [
  ["net.ipv4.tcp_rmem", "4096 131072 6291456"],
];

/** Whether a script that has these commands is one of FreeBSD's: it sets one of its sysctls. */
export function isFreebsd(commands: readonly string[]): boolean {
  return commands.some((command) => /\bsysctl\b.*\b(?:net\.inet\.|kern\.ipc\.)/.test(command));
}

/**
 * Runs what a script gives to a shell: settings of TCP take effect, what has no meaning here is noted. Nothing is run on
 * the machine.
 *
 * @returns how it failed, or `null`
 */
export function runShell(command: string, target: ShellTarget): string | null {
  for (const part of split(command)) {
    const wrong = runOne(part, target);
    if (wrong !== null) return wrong;
  }
  return null;
}

/** One command a line; those behind a pipe have nothing to read here. */
function split(command: string): string[] {
  return command
    .replace(/\\\n/g, " ")
    .replace(/(^|\s)#[^\n]*/g, "$1")
    .split(/\n|;|&&|\|\|?/)
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function runOne(command: string, target: ShellTarget): string | null {
  const words = wordsOf(command);
  const [program = ""] = words;
  const name = program.replace(/^.*\//, "");
  if (name === "defaults.sh") {
    target.actLikeLinux();
    for (const [key, value] of DEFAULTS) set(target, key, value, true);
    return null;
  }
  if (name === "sysctl" || name === "set_sysctls.py") return setAll(words.slice(1), target);
  if (name === "echo") return echo(words.slice(1), command, target);
  if (name === "sleep") {
    target.sleep(Number(words[1]) * 1000);
    return null;
  }
  if (name === "true" || name === ":") return null;
  if (name === "false") return "it says false";
  if (name === "exit") return words[1] === undefined || words[1] === "0" ? null : `exit ${words[1]}`;
  const mtu = /\bmtu\s+([0-9]+)/.exec(command);
  if ((name === "ip" || name === "ifconfig") && mtu !== null && /\blink\b|ifconfig/.test(command)) {
    target.setMtu(Number(mtu[1]));
    return null;
  }
  if (name === "dd") return copyOut(words.slice(1), target);
  target.note(`ignored: ${command}`);
  return null;
}

const UNITS: Readonly<Record<string, number>> = { "": 1, c: 1, K: 1_024, k: 1_024, M: 1_048_576 };

/** `dd bs=1K count=5 of=/tmp/file`: no bytes are kept, only how many there would be. */
function copyOut(words: readonly string[], target: ShellTarget): string | null {
  const given = new Map(words.map((word) => word.split("=", 2) as [string, string]));
  const path = given.get("of");
  const count = Number(given.get("count"));
  const [, size = "", unit = ""] = /^([0-9]+)([cKkM]?)$/.exec(given.get("bs") ?? "512") ?? [];
  if (path === undefined || !Number.isInteger(count) || size === "") return "dd needs of=, count= and bs=";
  target.makeFile(path, count * Number(size) * UNITS[unit]);
  return null;
}

/** Words of a line, with quotes and `$((...))` taken in, and redirections left out. */
function wordsOf(command: string): string[] {
  const counted = command.replace(/\$\(\(([^()]*(?:\([^()]*\)[^()]*)*)\)\)/g, (_, sum: string) =>
    String(product(sum)),
  );
  const words = counted.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? [];
  return words.map((word) => word.replace(/["']/g, "")).filter((word) => !/^[0-9]*>/.test(word));
}

/** `15*1024*1024`: shells can do more, scripts do this. */
function product(sum: string): number {
  return sum
    .split("*")
    .map((factor) => Number(factor.replace(/[()\s]/g, "")))
    .reduce((a, b) => a * b, 1);
}

function setAll(words: readonly string[], target: ShellTarget): string | null {
  for (const word of words) {
    if (word.startsWith("-")) continue;
    const equals = word.indexOf("=");
    if (equals < 0) {
      target.note(`ignored: sysctl ${word}`);
      continue;
    }
    set(target, word.slice(0, equals), word.slice(equals + 1), false);
  }
  return null;
}

/** `echo 0 > /proc/sys/net/ipv4/tcp_sack`. */
function echo(words: readonly string[], command: string, target: ShellTarget): string | null {
  const file = />\s*(\/proc\/sys\/\S+)/.exec(command)?.[1];
  if (file === undefined) target.note(`ignored: ${command}`);
  else set(target, file, words.filter((word) => !word.startsWith("-") && word !== file).join(" "), false);
  return null;
}

function set(target: ShellTarget, key: string, value: string, quiet: boolean): void {
  const name = key.replace(/^\/proc\/sys\//, "").replaceAll("/", ".");
  if (!target.sysctl(name, value) && !quiet) target.note(`ignored: ${name}=${value}`);
}
