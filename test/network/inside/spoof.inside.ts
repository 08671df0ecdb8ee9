import { afterAll, beforeAll, expect, test } from "bun:test";
import { Undo } from "../../../src/lib/undo.ts";
import type { Attachment, Network } from "../../../src/ports/network.ts";
import {
  ask,
  endWorld,
  internetAddress,
  makeNetwork,
  makeWorld,
  request,
  serve,
  sh,
  type World,
} from "../bed.ts";

let world: World;
let network: Network;
let victim: Attachment;
let rogue: Attachment;

const attach = async (): Promise<Attachment> => {
  await using undo = new Undo();
  const attachment = await network.attach(request(), undo);
  undo.release();
  return attachment;
};
const inRogue = (...argv: string[]) => sh("nsenter", `--net=${rogue.netns}`, ...argv);

beforeAll(async () => {
  world = await makeWorld();
  network = makeNetwork(world).network;
  victim = await attach();
  rogue = await attach();
  await serve(victim.netns, "udp", "0.0.0.0", 53, "victim");
  await serve(world.internet, "udp", "0.0.0.0", 53, "internet");
  await serve(undefined, "udp", "0.0.0.0", 5353, "host");
});
afterAll(async () => {
  await network.teardown();
  await endWorld(world);
});

test("an instance speaks with its own address", async () => {
  expect(await ask(rogue.netns, "udp", victim.address!, 53)).toBe(`victim ${rogue.address}`);
  expect(await ask(rogue.netns, "udp", internetAddress, 53)).toStartWith("internet");
  expect(await ask(rogue.netns, "udp", rogue.gateway!, 5353)).toBe(`host ${rogue.address}`);
});

/** What reaches the host's end of the bridge, as the kernel counts it: nothing else may be let in by the rule. */
const droppedOutside = async (act: () => Promise<unknown>): Promise<string> => {
  const before = await received();
  await act();
  return `${(await received()) - before} let in`;
};
const received = async (): Promise<number> => {
  const [link] = JSON.parse((await sh("ip", "-j", "-s", "link", "show", "gt-abcdef")).stdout);
  return link.stats64.rx.packets;
};

test("nothing gets through from an address that is not its own", async () => {
  await inRogue("ip", "addr", "add", "10.210.99.99/16", "dev", "eth0");
  await inRogue("ip", "route", "replace", "default", "via", rogue.gateway!, "src", "10.210.99.99");
  await inRogue("ip", "route", "replace", "10.210.0.0/16", "dev", "eth0", "src", "10.210.99.99");
  // Known neighbours, so that not a missing ARP answer alone is what stops it.
  await inRogue(
    "ip",
    "neigh",
    "replace",
    victim.address!,
    "lladdr",
    victim.mac!,
    "dev",
    "eth0",
    "nud",
    "permanent",
  );
  await inRogue(
    "ip",
    "neigh",
    "replace",
    rogue.gateway!,
    "lladdr",
    "02:42:0a:d2:00:01",
    "dev",
    "eth0",
    "nud",
    "permanent",
  );
  expect(await ask(rogue.netns, "udp", victim.address!, 53, 500)).toBe("timeout");
  expect(
    await droppedOutside(async () => {
      expect(await ask(rogue.netns, "udp", internetAddress, 53, 500)).toBe("timeout");
      expect(await ask(rogue.netns, "udp", rogue.gateway!, 5353, 500)).toBe("timeout");
    }),
  ).toBe("0 let in");
  // The control: without the rule it does get through, until the watcher puts the rule back.
  await sh("nft", "delete", "table", "bridge", "gantry_abcdef");
  expect(await ask(rogue.netns, "udp", victim.address!, 53)).toBe("victim 10.210.99.99");
  await Bun.sleep(4800);
  expect(await ask(rogue.netns, "udp", victim.address!, 53, 500)).toBe("timeout");
  await inRogue("ip", "route", "replace", "default", "via", rogue.gateway!, "src", rogue.address!);
  await inRogue("ip", "route", "replace", "10.210.0.0/16", "dev", "eth0", "src", rogue.address!);
  await inRogue("ip", "addr", "del", "10.210.99.99/16", "dev", "eth0");
  expect(await ask(rogue.netns, "udp", rogue.gateway!, 5353)).toBe(`host ${rogue.address}`);
});

test("nothing gets through with another MAC", async () => {
  await inRogue("ip", "link", "set", "eth0", "address", victim.mac!);
  await inRogue(
    "ip",
    "neigh",
    "replace",
    rogue.gateway!,
    "lladdr",
    "02:42:0a:d2:00:01",
    "dev",
    "eth0",
    "nud",
    "permanent",
  );
  expect(
    await droppedOutside(async () => {
      expect(await ask(rogue.netns, "udp", rogue.gateway!, 5353, 500)).toBe("timeout");
    }),
  ).toBe("0 let in");
  await inRogue("ip", "link", "set", "eth0", "address", rogue.mac!);
  expect(await ask(rogue.netns, "udp", rogue.gateway!, 5353)).toBe(`host ${rogue.address}`);
});

test("an address that is taken over by ARP stays with its owner", async () => {
  // The rogue claims the victim's address: its kernel would answer ARP requests for it, and announces it.
  await inRogue("ip", "addr", "add", `${victim.address}/16`, "dev", "eth0");
  await inRogue("sysctl", "-qw", "net.ipv4.conf.eth0.arp_notify=1");
  await inRogue("ip", "link", "set", "eth0", "down");
  await inRogue("ip", "link", "set", "eth0", "up");
  await serve(rogue.netns, "udp", "0.0.0.0", 53, "rogue");
  await sh("ip", "neigh", "flush", "dev", "gt-abcdef");
  for (let n = 0; n < 5; n++) {
    expect(await ask(undefined, "udp", victim.address!, 53)).toStartWith("victim");
    await sh("ip", "neigh", "flush", "dev", "gt-abcdef");
  }
});

test("IPv6 and other protocols of an instance go nowhere", async () => {
  await inRogue("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0");
  await sh("nsenter", `--net=${victim.netns}`, "sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0");
  await inRogue("ip", "addr", "add", "fd77::1/64", "dev", "eth0", "nodad");
  await sh("nsenter", `--net=${victim.netns}`, "ip", "addr", "add", "fd77::2/64", "dev", "eth0", "nodad");
  await serve(victim.netns, "tcp", "fd77::2", 80, "victim6");
  expect(await ask(victim.netns, "tcp", "fd77::2", 80)).toStartWith("victim6");
  expect(await ask(rogue.netns, "tcp", "fd77::2", 80, 700)).not.toContain("victim6");
});
