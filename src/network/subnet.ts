import { GantryError } from "../model/errors.ts";

/** An IPv4 network: its first address as a number, and the prefix length. */
export interface Subnet {
  base: number;
  prefix: number;
}

/** Dotted quad to an unsigned number; undefined when it is none. Leading zeros are refused (some read them as octal). */
export function parseAddress(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part)) return undefined;
    const byte = Number(part);
    if (byte > 255) return undefined;
    value = value * 256 + byte;
  }
  return value;
}

export const formatAddress = (value: number): string =>
  [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");

/** Addresses in a network of this prefix length. */
export const sizeOf = (prefix: number): number => 2 ** (32 - prefix);

/** `a.b.c.d/n`; undefined when it is malformed or has host bits set. */
export function parseSubnet(text: string): Subnet | undefined {
  const [address, length, ...rest] = text.split("/");
  if (address === undefined || length === undefined || rest.length > 0 || !/^\d{1,2}$/.test(length))
    return undefined;
  const base = parseAddress(address);
  const prefix = Number(length);
  if (base === undefined || prefix > 32 || base % sizeOf(prefix) !== 0) return undefined;
  return { base, prefix };
}

export const formatSubnet = (subnet: Subnet): string => `${formatAddress(subnet.base)}/${subnet.prefix}`;

export const overlaps = (a: Subnet, b: Subnet): boolean =>
  a.base < b.base + sizeOf(b.prefix) && b.base < a.base + sizeOf(a.prefix);

export const contains = (subnet: Subnet, address: number): boolean =>
  address >= subnet.base && address < subnet.base + sizeOf(subnet.prefix);

/** The first usable address; the bridge's own. */
export const gatewayOf = (subnet: Subnet): string => formatAddress(subnet.base + 1);

/** The MAC that goes with an address: locally administered, unique on the bridge as the address is. */
export const macOf = (address: string): string =>
  `02:42:${address
    .split(".")
    .map((byte) => Number(byte).toString(16).padStart(2, "0"))
    .join(":")}`;

/**
 * A network that the user named (GANTRY_SUBNET). Throws `invalid` unless it is private use of a usable size:
 * /8 to /29, since links are named by the number of the address.
 */
export function checkSubnet(text: string): Subnet {
  const subnet = parseSubnet(text);
  if (
    !subnet ||
    subnet.prefix < 8 ||
    subnet.prefix > 29 ||
    subnet.base < 2 ** 24 ||
    subnet.base >= 224 * 2 ** 24
  )
    throw new GantryError(
      "invalid",
      `GANTRY_SUBNET ${JSON.stringify(text)} is no usable IPv4 network: give one like 10.200.0.0/16, between /8 and /29`,
    );
  return subnet;
}

/** Networks tried in turn: /16s that other engines and home routers seldom use. */
export const candidates: readonly Subnet[] = [
  ...Array.from({ length: 20 }, (_, n) => `10.${210 + n}.0.0/16`),
  ...Array.from({ length: 4 }, (_, n) => `172.${28 + n}.0.0/16`),
  ...Array.from({ length: 20 }, (_, n) => `10.${110 + n}.0.0/16`),
].map((text) => parseSubnet(text)!);

/** The first candidate that overlaps none of `taken`; throws `exhausted` when there is none. */
export function pickSubnet(taken: readonly Subnet[]): Subnet {
  const free = candidates.find((candidate) => !taken.some((other) => overlaps(candidate, other)));
  if (!free)
    throw new GantryError(
      "exhausted",
      "every network that the engine would use collides with a route of this host: choose one with GANTRY_SUBNET",
    );
  return free;
}

/** The network that an attachment is in, from its gateway and prefix length. */
export function subnetOf(attachment: { gateway?: string; prefix?: number }): string | undefined {
  const gateway = parseAddress(attachment.gateway ?? "");
  if (gateway === undefined || attachment.prefix === undefined) return undefined;
  return formatSubnet({ base: gateway - (gateway % sizeOf(attachment.prefix)), prefix: attachment.prefix });
}
