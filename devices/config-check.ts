/** What settings mean together: addresses and networks that fit each other, and what can't be. */

import { StackError } from "../src/errors.ts";
import {
  type Cidr,
  cidrBroadcast,
  cidrContains,
  cidrNetwork,
  formatAddress,
  formatCidr,
  type IpAddress,
  isBroadcast,
  isLoopback,
  isMulticast,
  isUnspecified,
  parseAddress,
  parseCidr,
  sameAddress,
} from "../src/wire/ip-address.ts";
import type { DeviceConfig, InterfaceConfig, MiddlewareConfig } from "./config-complete.ts";
import type { Given, Section } from "./config-read.ts";
import { INTERFACE, type MIDDLEWARE } from "./config-schema.ts";

/** RFC 8200 section 5. */
const SMALLEST_IPV6_MTU = 1280;
const DEFAULT_ADDRESS = INTERFACE.addresses.default?.[0] ?? "";

function refuse(where: string, sentence: string): never {
  throw new StackError("EINVAL", `${where} ${sentence}`);
}

/** Checks an interface and the device beneath it, whose settings are in `deviceSection`. */
export function checkInterface(
  section: Section,
  iface: InterfaceConfig,
  deviceSection: Section,
  device: DeviceConfig,
): void {
  const where = section.given.addresses?.where ?? "interface.addresses";
  iface.addresses.forEach((text, i) => {
    const place = where.startsWith("--") ? where : `${where}[${i}]`;
    checkOwnAddress(place, parseCidr(text), deviceSection, device);
  });
  const networks = iface.addresses.map(parseCidr);
  const { gateway } = section.given;
  if (gateway !== undefined) checkNeighbour(gateway.where, String(gateway.value), networks);
  checkRoutes(section, iface, networks);
  checkHostAddress(section, deviceSection, networks);
}

function checkOwnAddress(where: string, cidr: Cidr, deviceSection: Section, device: DeviceConfig): void {
  const { address } = cidr;
  const text = formatCidr(cidr);
  if (address.family === 6) {
    if (device.mtu !== undefined && device.mtu < SMALLEST_IPV6_MTU) {
      refuse(
        deviceSection.given.mtu?.where ?? "device.mtu",
        `is ${device.mtu}, and IPv6 needs ${SMALLEST_IPV6_MTU} at least for ${text}; besides, IPv6 is not supported yet: write IPv4 addresses.`,
      );
    }
    refuse(where, `is ${text}; IPv6 is not supported yet: write IPv4 addresses, like ${DEFAULT_ADDRESS}.`);
  }
  const kind = specialKind(address);
  if (kind !== null) refuse(where, `is ${text}, ${kind}: give the stack the address of a single host.`);
  const block = blockKind(cidr, address);
  if (block !== null) {
    refuse(where, `is ${text}, which is the ${block} of its network: choose one of the hosts' addresses.`);
  }
}

function specialKind(address: IpAddress): string | null {
  if (isUnspecified(address)) return "which stands for no address";
  if (isMulticast(address)) return "which is a multicast group";
  if (isBroadcast(address)) return "which is the broadcast address";
  if (isLoopback(address)) return "which never leaves a machine";
  return null;
}

/** What an address is that no host of the network can have, or `null`. RFC 3021: a /31 has two hosts. */
function blockKind(cidr: Cidr, address: IpAddress): string | null {
  const broadcast = cidrBroadcast(cidr);
  if (broadcast === null) return null;
  if (sameAddress(address, cidrNetwork(cidr))) return "network address";
  return sameAddress(address, broadcast) ? "broadcast address" : null;
}

/** A gateway has to be a host of a network that the interface is in, and another one than the stack. */
function checkNeighbour(where: string, text: string, networks: readonly Cidr[]): void {
  const address = parseAddress(text);
  const home = networks.find((network) => cidrContains(network, address));
  if (home === undefined) {
    const list = networks.map(networkText).join(", ");
    refuse(where, `is ${text}, which is in none of the interface's networks (${list}): nothing leads there.`);
  }
  if (networks.some((network) => sameAddress(network.address, address))) {
    refuse(where, `is ${text}, which is the stack's own address: write a neighbour's.`);
  }
  const block = blockKind(home, address);
  if (block !== null) refuse(where, `is ${text}, which is the ${block} of its network: write a neighbour's.`);
}

function networkText(cidr: Cidr): string {
  return `${formatAddress(cidrNetwork(cidr))}/${cidr.prefixLength}`;
}

function checkRoutes(section: Section, iface: InterfaceConfig, networks: readonly Cidr[]): void {
  const where = section.given.routes?.where ?? "interface.routes";
  const seen: string[] = [];
  iface.routes?.forEach(({ to, via }, i) => {
    const cidr = parseCidr(to);
    const network = networkText(cidr);
    if (cidr.address.family === 6) {
      refuse(`${where}[${i}].to`, `is ${to}; IPv6 is not supported yet: write an IPv4 network.`);
    }
    if (network !== formatCidr(cidr)) {
      refuse(`${where}[${i}].to`, `is ${to}, which is a host in the network ${network}: write ${network}.`);
    }
    if (seen.includes(network)) refuse(`${where}[${i}].to`, `is ${to}, which is there twice: leave one out.`);
    seen.push(network);
    checkNeighbour(`${where}[${i}].via`, via, networks);
  });
}

/** The kernel's address has to be one that the stack reaches directly. */
function checkHostAddress(section: Section, deviceSection: Section, networks: readonly Cidr[]): void {
  const given = deviceSection.given["host-address"];
  if (given === undefined) return;
  const { where } = given;
  const text = String(given.value);
  const host = parseCidr(text);
  if (networks.some((network) => sameAddress(network.address, host.address))) {
    refuse(where, `is ${text}, which is an address of the stack too; kernel and stack need one each.`);
  }
  if (!networks.some((network) => cidrContains(network, host.address))) {
    if (section.given.addresses === undefined) {
      refuse(
        where,
        `is ${text}, and the stack has ${DEFAULT_ADDRESS} unless told: give it an address in the kernel's network (interface.addresses, --address).`,
      );
    }
    const list = networks.map(networkText).join(", ");
    refuse(
      where,
      `is ${text}, which is in none of the stack's networks (${list}): neither would reach the other.`,
    );
  }
  const kind = specialKind(host.address);
  if (kind !== null) refuse(where, `is ${text}, ${kind}: give the kernel the address of a single host.`);
  const block = blockKind(host, host.address);
  if (block !== null) refuse(where, `is ${text}, which is the ${block} of its network: choose another one.`);
}

/** Checks keys of a device that depend on each other. */
export function checkDevice({ given }: Section, { type }: DeviceConfig): void {
  const address = given["hardware-address"];
  if (type !== "raw" && address?.value === "interface") {
    refuse(address.where, 'is "interface", which is only for raw: write six bytes, like 02:00:00:00:00:01.');
  }
}

/** Every address of the stack may be on one interface only. */
export function checkAddressesDiffer(
  sections: readonly Section[],
  interfaces: readonly InterfaceConfig[],
): void {
  const seen: IpAddress[] = [];
  interfaces.forEach((iface, i) => {
    iface.addresses.forEach((text, at) => {
      const { address } = parseCidr(text);
      if (seen.some((other) => sameAddress(other, address))) {
        const where = sections[i].given.addresses?.where ?? "interface.addresses";
        refuse(`${where}[${at}]`, `is ${text}, and the stack has ${address} already: leave one out.`);
      }
      seen.push(address);
    });
  });
}

/** Fates of a frame: it has one at most. */
const FATES = [
  "drop",
  "duplicate",
  "swap",
  "reorder",
  "corrupt",
] as const satisfies readonly (keyof typeof MIDDLEWARE)[];

/** Checks options of a middleware that depend on each other. */
export function checkMiddleware(section: Section): void {
  const { given } = section;
  const files = given["rotate-files"];
  if (files !== undefined && given["rotate-bytes"] === undefined && given["rotate-seconds"] === undefined) {
    refuse(
      files.where,
      "says how many files to keep, not when to begin one: give rotate-bytes or rotate-seconds, too.",
    );
  }
  if (given.queue !== undefined && given.rate === undefined) {
    refuse(given.queue.where, "is for a link that carries so much and no more: give it a rate, too.");
  }
  if (given["reorder-ms"] !== undefined && given["reorder-distance"] !== undefined) {
    refuse(given["reorder-ms"].where, "stands beside reorder-distance: a frame is late by one or the other.");
  }
  if (given["link-destination"] !== undefined && given["link-source"] === undefined) {
    refuse(
      given["link-destination"].where,
      "says where frames go, and not where from: give link-source, too.",
    );
  }
  checkRate(section);
  checkProbabilities(section);
}

/** To fault it is a speed, to fuzz a probability. */
function checkRate({ given: { type, rate } }: Section): void {
  if (rate === undefined) return;
  const value = Number(rate.value);
  if (type?.value === "fuzz" && value > 1)
    refuse(rate.where, `is ${value}; write a probability from 0 to 1.`);
  if (type?.value === "fault" && value === 0) {
    refuse(rate.where, "is 0; write bytes a second, more than 0, or leave it out.");
  }
}

/** Probabilities of one table may add up to 1. */
function checkProbabilities(section: Section): void {
  const given = FATES.filter((name) => section.given[name] !== undefined);
  const sum = given.reduce((total, name) => total + Number(section.given[name].value), 0);
  // Numbers that add up to 1 on paper may exceed it by a rounding error.
  if (sum <= 1 + 1e-9) return;
  refuse(
    section.where,
    `has probabilities that add up to ${Number(sum.toFixed(9))} (${given.join(", ")}); a frame has one fate, so keep them within 1.`,
  );
}

/** Several workers share each device, which not every device and not everything around one can be. */
export function checkWorkers(
  { value, where }: Given,
  devices: readonly DeviceConfig[],
  middleware: readonly MiddlewareConfig[],
): void {
  if (devices.some(({ type }) => type === "memory")) {
    refuse(
      where,
      `is ${value}, and both ends of a memory pair are in one thread: leave it out, or take tun, tap or raw.`,
    );
  }
  if (middleware.some(({ type }) => type === "replay")) {
    refuse(where, `is ${value}, and each worker would play the whole capture: leave it out, or the replay.`);
  }
}
