import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { GantryError } from "../model/errors.ts";
import type { Names } from "./names.ts";
import {
  checkSubnet,
  contains,
  formatSubnet,
  gatewayOf,
  macOf,
  overlaps,
  parseAddress,
  parseSubnet,
  pickSubnet,
  type Subnet,
} from "./subnet.ts";
import { ipBatch, ipBatchForce, ipJson } from "./tools.ts";

export interface Link {
  ifname: string;
  mtu: number;
  master?: string;
  link_type: string;
}
interface Route {
  dst: string;
  dev?: string;
  gateway?: string;
  table?: string;
  metric?: number;
}

/** Whether a link exists in the engine's network namespace (which /sys may not show). No process. */
export const linkExists = (name: string): boolean => existsSync(`/proc/sys/net/ipv4/conf/${name}`);

export const sysctl = (key: string, value: string): Promise<void> => writeFile(`/proc/sys/net/${key}`, value);
export const readSysctl = async (key: string): Promise<string> =>
  (await readFile(`/proc/sys/net/${key}`, "utf8")).trim();

/** Sets a switch only when it is off: the file may be read-only where it is on already. */
async function ensureSysctl(key: string, value: string): Promise<void> {
  if ((await readSysctl(key).catch(() => "")) === value) return;
  try {
    await sysctl(key, value);
  } catch (error) {
    throw new GantryError(
      "unavailable",
      `cannot set net.${key.replaceAll("/", ".")} to ${value}: ${(error as Error).message}; set it with sysctl`,
      { cause: error },
    );
  }
}

/** Networks that the host reaches otherwise than by its default route, `besides` one link. */
async function routedNetworks(besides: string): Promise<{ subnet: Subnet; dev: string }[]> {
  const routes = await ipJson<Route>(["route", "show", "table", "all"]);
  const found: { subnet: Subnet; dev: string }[] = [];
  for (const route of routes) {
    if (route.dst === "default" || route.dev === besides) continue;
    const subnet = parseSubnet(route.dst.includes("/") ? route.dst : `${route.dst}/32`);
    if (subnet) found.push({ subnet, dev: route.dev ?? "" });
  }
  return found;
}

/** Resolvers of the host: a network that swallowed them would end name resolution. */
async function resolverNetworks(): Promise<{ subnet: Subnet; dev: string }[]> {
  const text = await readFile("/etc/resolv.conf", "utf8").catch(() => "");
  return [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].flatMap((match) => {
    const base = parseAddress(match[1]!);
    return base === undefined ? [] : [{ subnet: { base, prefix: 32 }, dev: "" }];
  });
}

/**
 * The subnet: GANTRY_SUBNET, else the one chosen earlier, else the first candidate that nothing uses.
 * Throws `conflict` when the named one collides with a route of the host.
 */
export async function chooseSubnet(
  names: Names,
  stored: string | undefined,
  wanted: string | undefined,
): Promise<Subnet> {
  const earlier = stored === undefined ? undefined : parseSubnet(stored);
  if (!wanted && earlier) return earlier;
  const taken = [...(await routedNetworks(names.bridge)), ...(await resolverNetworks())];
  if (!wanted) return pickSubnet(taken.map((other) => other.subnet));
  const subnet = checkSubnet(wanted);
  const other = taken.find((one) => overlaps(one.subnet, subnet));
  if (other)
    throw new GantryError(
      "conflict",
      `GANTRY_SUBNET ${wanted} overlaps ${formatSubnet(other.subnet)}${other.dev ? ` on ${other.dev}` : ", the host's name server"}: choose another`,
    );
  return subnet;
}

/** MTU of the way out; 1500 when there is none. */
export async function uplinkMtu(links: readonly Link[], bridge: string): Promise<number> {
  const routes = await ipJson<Route>(["route", "show", "default"]);
  const first = routes
    .sort((a, b) => (a.metric ?? 0) - (b.metric ?? 0))
    .find((route) => route.dev !== bridge);
  return links.find((link) => link.ifname === first?.dev)?.mtu ?? 1500;
}

export const listLinks = (): Promise<Link[]> => ipJson<Link>(["link", "show"]);

/**
 * Deletes links; those that are not there are no error. Each deletion by itself waits some 30 ms for the kernel,
 * a group of a thousand as long as one.
 */
export async function deleteLinks(names: Names, links: readonly string[]): Promise<void> {
  const group = names.doomedGroup;
  if (links.length === 1) await ipBatchForce([`link del dev ${links[0]}`]);
  else if (links.length > 1)
    await ipBatchForce([
      ...links.map((link) => `link set dev ${link} group ${group}`),
      `link del group ${group}`,
    ]);
}

/** Makes the bridge with its address and switches; idempotent. Returns whether it was missing. */
export async function ensureBridge(names: Names, subnet: Subnet, mtu: number): Promise<boolean> {
  const { bridge } = names;
  const gateway = gatewayOf(subnet);
  const missing = !linkExists(bridge);
  if (missing)
    await ipBatch([
      `link add name ${bridge} mtu ${mtu} address ${macOf(gateway)} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
      `link set dev ${bridge} addrgenmode none`,
    ]);
  await ensureSysctl(`ipv6/conf/${bridge}/disable_ipv6`, "1").catch((error) => {
    if (existsSync("/proc/sys/net/ipv6")) throw error;
  });
  await ipBatch([
    `addr replace ${gateway}/${subnet.prefix} brd + dev ${bridge}`,
    `link set dev ${bridge} up`,
  ]);
  await ensureSysctl(`ipv4/conf/${bridge}/route_localnet`, "1"); // published ports from 127.0.0.1
  await ensureSysctl("ipv4/ip_forward", "1");
  return missing;
}

/** Whether bridge and switches are as `ensureBridge` leaves them. No process. */
export async function bridgeIntact({ bridge }: Names): Promise<boolean> {
  const keys = [`ipv4/conf/${bridge}/route_localnet`, "ipv4/ip_forward"];
  const values = await Promise.all(keys.map((key) => readSysctl(key).catch(() => "")));
  return values.every((value) => value === "1");
}

/**
 * Another engine may have chosen the same network at the same moment. The link that was made later gives way,
 * which the kernel's link numbers decide the same for both. Returns true when that is us.
 */
export async function mustGiveWay(names: Names, subnet: Subnet): Promise<boolean> {
  const addresses = await ipJson<{
    ifindex: number;
    ifname: string;
    addr_info?: { family: string; local?: string; prefixlen?: number }[];
  }>(["addr", "show"]);
  const own = addresses.find((link) => link.ifname === names.bridge)?.ifindex ?? 0;
  return addresses.some(
    (link) =>
      link.ifname !== names.bridge &&
      link.ifindex < own &&
      link.addr_info?.some((info) => {
        const local = info.family === "inet" ? parseAddress(info.local ?? "") : undefined;
        return local !== undefined && contains(subnet, local);
      }),
  );
}
