import { isIPv4, isIPv6 } from "node:net";
import type { PortBinding } from "../../model/instance.ts";
import { UsageError } from "../command.ts";

const wrong = (text: string, why: string): UsageError =>
  new UsageError(`-p takes [ADDRESS:][HOSTPORT:]PORT[/udp], not ${JSON.stringify(text)}: ${why}`);

function range(text: string, whole: string): [number, number] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (!match) throw wrong(whole, `${JSON.stringify(text)} is no port`);
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  if (first < 1 || last > 65535) throw wrong(whole, "a port is 1 to 65535");
  if (last < first) throw wrong(whole, "the range ends before it begins");
  return [first, last];
}

/** Splits off `ADDRESS:`, which may be `[IPv6]`. */
function address(text: string, whole: string): { hostIp: string; rest: string } {
  if (text.startsWith("[")) {
    const end = text.indexOf("]:");
    const hostIp = text.slice(1, end);
    if (end < 0 || !isIPv6(hostIp)) throw wrong(whole, "the address in brackets is no IPv6 address");
    return { hostIp, rest: text.slice(end + 2) };
  }
  const parts = text.split(":");
  if (parts.length < 3) return { hostIp: "0.0.0.0", rest: text };
  const hostIp = parts[0] === "" ? "0.0.0.0" : parts[0]!;
  if (parts.length > 3 || !isIPv4(hostIp))
    throw wrong(whole, `${JSON.stringify(parts[0])} is no IPv4 address`);
  return { hostIp, rest: parts.slice(1).join(":") };
}

/** Published ports of one `-p`; without a host port the engine picks one (0). Ranges give one binding a port. */
export function parsePort(whole: string): PortBinding[] {
  const slash = whole.lastIndexOf("/");
  const protocol = slash < 0 ? "tcp" : whole.slice(slash + 1).toLowerCase();
  if (protocol === "sctp") throw new UsageError(`-p ${whole}: publishing SCTP is not supported yet`);
  if (protocol !== "tcp" && protocol !== "udp") throw wrong(whole, "the protocol is tcp or udp");
  const { hostIp, rest } = address(slash < 0 ? whole : whole.slice(0, slash), whole);
  const parts = rest.split(":");
  if (parts.length > 2) throw wrong(whole, "too many colons");
  const [first, last] = range(parts.at(-1)!, whole);
  const host = parts.length === 2 && parts[0] !== "" ? range(parts[0]!, whole) : undefined;
  if (host && host[1] - host[0] !== last - first) {
    if (first === last)
      throw new UsageError(
        `-p ${whole}: one port out of a range of host ports is not supported yet; name one`,
      );
    throw wrong(whole, "the two ranges differ in length");
  }
  return Array.from({ length: last - first + 1 }, (_, i) => ({
    hostIp,
    hostPort: host ? host[0] + i : 0,
    containerPort: first + i,
    protocol,
  }));
}

/** `0.0.0.0:8080->80/tcp`, as the lists show it. */
export const showPort = ({ hostIp, hostPort, containerPort, protocol }: PortBinding): string =>
  `${isIPv6(hostIp) ? `[${hostIp}]` : hostIp}:${hostPort}->${containerPort}/${protocol}`;
