import { createHash } from "node:crypto";
import type { Attachment } from "../ports/network.ts";
import type { Names } from "./names.ts";
import { formatSubnet, gatewayOf, type Subnet } from "./subnet.ts";

/** Packets that our forward chain let through carry this bit, for Docker's chain to accept by. */
export const forwardMark = "0x00200000";

/** Questions a second that one instance may ask the name server; the kernel drops what is over, so that others are heard. */
const dnsRate = 500;

/** The sets and maps that change with instances; all else in the tables is fixed. */
export const setNames = ["ports_at", "ports_any", "askers", "ends"] as const;
export type SetName = (typeof setNames)[number];
export const familyOf = (set: SetName): "ip" | "bridge" => (set === "ends" ? "bridge" : "ip");

/** Elements by set; the value is empty where the set is no map. Keys are in nft's own spelling, names unquoted. */
export type Elements = Record<SetName, Map<string, string>>;
export const noElements = (): Elements => ({
  ports_at: new Map(),
  ports_any: new Map(),
  askers: new Map(),
  ends: new Map(),
});

export interface RulesInput {
  names: Names;
  subnet: Subnet;
  /** Where the DNS server really listens when the gateway's port 53 was taken. */
  dnsPort: number;
}

/** What an attachment adds to the sets: who may send on its link, how fast it may ask for names, its published ports. */
export function elementsOf(attachment: Attachment): [SetName, string, string][] {
  if (attachment.mode !== "nat" || attachment.address === undefined) return [];
  const link = attachment.end === "netns" ? attachment.hostLink : attachment.tap;
  return [
    ["askers", attachment.address, ""],
    ["ends", `${link} . ${attachment.mac} . ${attachment.address}`, ""],
    ...attachment.ports.map((port): [SetName, string, string] => {
      const target = `${attachment.address} . ${port.containerPort}`;
      return port.hostIp === "0.0.0.0"
        ? ["ports_any", `${port.protocol} . ${port.hostPort}`, target]
        : ["ports_at", `${port.protocol} . ${port.hostIp} . ${port.hostPort}`, target];
    }),
  ];
}

/** One element as nft reads it. */
export const elementText = (set: SetName, key: string, value: string): string => {
  const text = set === "ends" ? key.replace(/^[^ ]+/, '"$&"') : key;
  return value === "" ? text : `${text} : ${value}`;
};

const elementsText = (elements: Elements, set: SetName): string => {
  const all = [...elements[set]].map(([key, value]) => elementText(set, key, value));
  return all.length === 0 ? "" : `elements = { ${all.join(", ")} }`;
};

const dnat = (statement = "dnat ip to") => `
    ${statement} meta l4proto . ip daddr . th dport map @ports_at
    ${statement} meta l4proto . th dport map @ports_any`;

/** Both tables with their elements, as one transaction that replaces whatever is there. */
export function ruleset(input: RulesInput, elements: Elements): string {
  const { names, dnsPort } = input;
  const bridge = `"${names.bridge}"`;
  const subnet = formatSubnet(input.subnet);
  const gateway = gatewayOf(input.subnet);
  // An instance that publishes port 53 on all addresses must not take the names of the others.
  const verdict = dnsPort === 53 ? "accept" : `redirect to :${dnsPort}`;
  const dns = ["udp", "tcp"].map((p) => `iifname ${bridge} ip daddr ${gateway} ${p} dport 53 ${verdict}`);
  return `table ip ${names.table}
delete table ip ${names.table}
table bridge ${names.table}
delete table bridge ${names.table}
table ip ${names.table} {
  map ports_at {
    type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service
    ${elementsText(elements, "ports_at")}
  }
  map ports_any {
    type inet_proto . inet_service : ipv4_addr . inet_service
    ${elementsText(elements, "ports_any")}
  }
  set askers {
    type ipv4_addr; limit rate over ${dnsRate}/second burst ${dnsRate} packets;
    ${elementsText(elements, "askers")}
  }
  chain early {
    type filter hook prerouting priority raw; policy accept;
    iifname ${bridge} ip daddr 127.0.0.0/8 drop
    iifname ${bridge} ip daddr ${gateway} udp dport 53 ip saddr @askers drop
    iifname ${bridge} ip daddr ${gateway} tcp dport 53 tcp flags syn ip saddr @askers drop
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    ${dns.join("\n    ")}
    ip daddr 127.0.0.0/8 return
    fib daddr type != local return${dnat()}
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type != local return${dnat()}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname ${bridge} ip saddr 127.0.0.0/8 masquerade
    oifname ${bridge} ip saddr ${subnet} ct status dnat masquerade
    oifname != ${bridge} ip saddr ${subnet} masquerade
  }
  chain forward {
    type filter hook forward priority filter - 5; policy accept;
    iifname != ${bridge} oifname != ${bridge} accept
    iifname ${bridge} meta mark set meta mark or ${forwardMark} accept
    ct state established,related meta mark set meta mark or ${forwardMark} accept
    ct status dnat meta mark set meta mark or ${forwardMark} accept
    drop
  }
}
table bridge ${names.table} {
  set ends {
    type ifname . ether_addr . ipv4_addr
    ${elementsText(elements, "ends")}
  }
  chain prerouting {
    type filter hook prerouting priority dstnat; policy accept;
    iifname != "${names.linkPrefix}*" accept
    iifname . ether saddr . ip saddr @ends accept
    iifname . ether saddr . arp saddr ip @ends iifname . arp saddr ether . arp saddr ip @ends accept
    drop
  }
}
`;
}

/** Names the fixed part, so that a later engine knows whether the tables it finds are those it would make. */
export const rulesHash = (input: RulesInput): string =>
  createHash("sha256").update(ruleset(input, noElements())).digest("hex").slice(0, 16);
