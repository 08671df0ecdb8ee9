import { expect, test } from "bun:test";
import type { Attachment } from "../ports/network.ts";
import { difference } from "./firewall.ts";
import { isOurLink, linkName, namesOf } from "./names.ts";
import { type Elements, elementsOf, noElements, ruleset, rulesHash } from "./rules.ts";
import { parseSubnet } from "./subnet.ts";
import { run } from "./tools.ts";

const names = namesOf("0a1b2c");
const subnet = parseSubnet("10.210.0.0/16")!;
const attachment: Attachment = {
  sandboxId: "f".repeat(64),
  mode: "nat",
  end: "netns",
  hostLink: "g0a1b2cv0002",
  address: "10.210.0.2",
  mac: "02:42:0a:d2:00:02",
  ports: [
    { hostIp: "0.0.0.0", hostPort: 8080, containerPort: 80, protocol: "tcp" },
    { hostIp: "127.0.0.1", hostPort: 53, containerPort: 5353, protocol: "udp" },
  ],
};
const filled = (): Elements => {
  const elements = noElements();
  for (const [set, key, value] of elementsOf(attachment)) elements[set].set(key, value);
  return elements;
};

test("an attachment's elements", () => {
  expect(elementsOf(attachment)).toEqual([
    ["askers", "10.210.0.2", ""],
    ["ends", "g0a1b2cv0002 . 02:42:0a:d2:00:02 . 10.210.0.2", ""],
    ["ports_any", "tcp . 8080", "10.210.0.2 . 80"],
    ["ports_at", "udp . 127.0.0.1 . 53", "10.210.0.2 . 5353"],
  ]);
  expect(elementsOf({ ...attachment, mode: "none" })).toEqual([]);
});

test("nft takes the rules, empty and filled", async () => {
  for (const elements of [noElements(), filled()])
    for (const dnsPort of [53, 40_000])
      await run(["nft", "-c", "-f", "-"], { input: ruleset({ names, subnet, dnsPort }, elements) });
});

test("the hash tells a change of the fixed part", () => {
  const hash = rulesHash({ names, subnet, dnsPort: 53 });
  expect(rulesHash({ names, subnet, dnsPort: 53 })).toBe(hash);
  expect(rulesHash({ names, subnet, dnsPort: 54 })).not.toBe(hash);
  expect(rulesHash({ names, subnet: parseSubnet("10.211.0.0/16")!, dnsPort: 53 })).not.toBe(hash);
});

test("the difference of two states is what changes, deletions first", () => {
  const wanted = filled();
  expect(difference("t", wanted, filled())).toEqual([]);
  const actual = filled();
  actual.ports_any.set("tcp . 8080", "10.210.9.9 . 80");
  actual.ends.set("stray . 02:42:0a:d2:00:09 . 10.210.0.9", "");
  expect(difference("t", actual, wanted)).toEqual([
    "delete element ip t ports_any { tcp . 8080 }",
    "add element ip t ports_any { tcp . 8080 : 10.210.0.2 . 80 }",
    'delete element bridge t ends { "stray" . 02:42:0a:d2:00:09 . 10.210.0.9 }',
  ]);
});

test("links fit the kernel's 15 characters and are told from others", () => {
  for (const [end, offset] of [
    ["netns", 2],
    ["tap", 65_534],
    ["netns", 2 ** 24 - 2],
  ] as const) {
    const link = linkName(names, end, offset);
    expect(link.length).toBeLessThanOrEqual(15);
    expect(isOurLink(names, link)).toBe(true);
  }
  for (const other of ["eth0", names.bridge, "g0a1b2c", "g0a1b2cx0002", "g0a1b2dv0002", "docker0"])
    expect(isOurLink(names, other)).toBe(false);
});
