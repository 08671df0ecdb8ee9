import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { Undo } from "../../../src/lib/undo.ts";
import type { Attachment, Network } from "../../../src/ports/network.ts";
import {
  ask,
  endWorld,
  hostAddress,
  internetAddress,
  makeNetwork,
  makeWorld,
  request,
  serve,
  sh,
  snapshot,
  type World,
} from "../bed.ts";

let world: World;
let network: Network;
let one: Attachment;
let two: Attachment;

const attach = async (over = {}): Promise<Attachment> => {
  await using undo = new Undo();
  const attachment = await network.attach(request(over), undo);
  undo.release();
  return attachment;
};

beforeAll(async () => {
  world = await makeWorld();
  network = makeNetwork(world).network;
  one = await attach();
  two = await attach();
  await serve(one.netns, "tcp", "0.0.0.0", 80, "one");
  await serve(world.internet, "tcp", "0.0.0.0", 80, "internet");
});
afterAll(async () => {
  await network.teardown();
  await endWorld(world);
});

test("instances reach each other by their own addresses", async () => {
  expect(await ask(two.netns, "tcp", one.address!, 80)).toBe(`one ${two.address}`);
});

test("the host reaches an instance", async () => {
  expect(await ask(undefined, "tcp", one.address!, 80)).toBe(`one ${one.gateway}`);
});

test("an instance reaches the outside as the host", async () => {
  expect(await ask(two.netns, "tcp", internetAddress, 80)).toBe(`internet ${hostAddress}`);
});

test("the outside does not reach an instance that it knows a route to", async () => {
  await sh("nsenter", `--net=${world.internet}`, "ip", "route", "add", "10.0.0.0/8", "via", hostAddress);
  expect(await ask(world.internet, "tcp", one.address!, 80, 700)).toBe("timeout");
});

test("an instance does not reach what listens on the host's loopback", async () => {
  await serve(undefined, "tcp", "127.0.0.1", 8123, "secret");
  await sh("nsenter", `--net=${two.netns}`, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1");
  await sh("nsenter", `--net=${two.netns}`, "ip", "addr", "del", "127.0.0.1/8", "dev", "lo");
  await sh(
    "nsenter",
    `--net=${two.netns}`,
    "ip",
    "route",
    "add",
    "127.0.0.1",
    "via",
    two.gateway!,
    "src",
    two.address!,
  );
  expect(await ask(undefined, "tcp", "127.0.0.1", 8123)).toStartWith("secret");
  expect(await ask(two.netns, "tcp", "127.0.0.1", 8123, 700)).not.toContain("secret");
});

test("the namespace is set up as users of Docker expect", async () => {
  const inside = (path: string) =>
    sh("nsenter", `--net=${one.netns}`, "cat", `/proc/sys/net/${path}`).then((r) => r.stdout.trim());
  expect(await inside("ipv4/ping_group_range")).toBe("0\t2147483647");
  expect(await inside("ipv4/ip_unprivileged_port_start")).toBe("0");
  expect(await inside("ipv6/conf/eth0/disable_ipv6")).toBe("1");
  const { stdout } = await sh("nsenter", `--net=${one.netns}`, "ip", "-j", "addr");
  const [lo, eth0, ...rest] = JSON.parse(stdout);
  expect(rest).toEqual([]);
  expect(lo.flags).toContain("UP");
  expect(eth0).toMatchObject({ ifname: "eth0", address: one.mac, mtu: 1400 });
  expect(eth0.addr_info).toHaveLength(1);
  expect(eth0.addr_info[0]).toMatchObject({ local: one.address, prefixlen: one.prefix });
});

test("mode none has lo alone, and makes no bridge", async () => {
  const { network: other } = makeNetwork(world, "bbbbbb");
  await using undo = new Undo();
  const none = await other.attach(request({ mode: "none" }), undo);
  const { stdout } = await sh("nsenter", `--net=${none.netns}`, "ip", "-j", "link");
  expect(JSON.parse(stdout)).toMatchObject([{ ifname: "lo", operstate: "UNKNOWN" }]);
  expect(none.address).toBeUndefined();
  expect((await sh("ip", "-br", "link")).stdout).not.toContain("gt-bbbbbb");
  expect(await other.attach(request({ mode: "none", end: "tap" }), undo)).toMatchObject({ ports: [] });
});

test("a tap is persistent, has vnet headers, is up in the bridge, and goes with detach", async () => {
  const tap = await attach({ end: "tap" });
  const [link] = JSON.parse((await sh("ip", "-j", "-d", "link", "show", tap.tap!)).stdout);
  expect(link).toMatchObject({ mtu: 1400, master: "gt-abcdef" });
  expect(link.linkinfo.info_data).toMatchObject({ type: "tap", vnet_hdr: true, persist: true, pi: false });
  expect(link.flags).toContain("UP");
  expect(tap.netns).toBeUndefined();
  await network.detach(tap);
  await network.detach(tap);
  expect((await sh("ip", "-br", "link")).stdout).not.toContain(tap.tap!);
});

test("an address is given again when it is free, and not when it is taken", async () => {
  const first = await attach();
  await network.detach(first);
  const again = await attach({ address: first.address, mac: first.mac });
  expect(again).toMatchObject({ address: first.address, mac: first.mac });
  const other = await attach({ address: first.address, mac: first.mac });
  expect(other.address).not.toBe(first.address);
  expect(other.mac).not.toBe(first.mac);
  await network.detach(again);
  await network.detach(other);
});

test("fifty at once get fifty addresses, and detached leave nothing", async () => {
  const before = await snapshot();
  const all = await Promise.all(
    Array.from({ length: 50 }, (_, n) => attach({ end: n % 5 === 0 ? "tap" : "netns" })),
  );
  expect(new Set(all.map((a) => a.address)).size).toBe(50);
  expect(new Set(all.map((a) => a.mac)).size).toBe(50);
  expect(await snapshot()).not.toBe(before);
  await Promise.all(all.map((attachment) => network.detach(attachment)));
  expect(await snapshot()).toBe(before);
  expect(existsSync(all[1]!.netns!)).toBe(false);
});

test("a supervisor with a copy of the mounts does not keep a detached namespace alive", async () => {
  const gone = await attach();
  const supervisor = spawn("unshare", ["--mount", "--propagation", "private", "sleep", "60"], {
    stdio: "ignore",
  });
  const mounts = () => readFileSync(`/proc/${supervisor.pid}/mountinfo`, "utf8");
  const own = readlinkSync("/proc/self/ns/mnt");
  while (readlinkSync(`/proc/${supervisor.pid}/ns/mnt`) === own) await Bun.sleep(5);
  expect(mounts()).toContain(gone.netns!);
  await network.detach(gone);
  expect(mounts()).not.toContain(gone.netns!);
  expect((await sh("ip", "-br", "link")).stdout).not.toContain(gone.hostLink!);
  supervisor.kill("SIGKILL");
});

test("an attach that fails in the middle leaves nothing", async () => {
  const before = await snapshot();
  const want = request();
  // Someone holds the namespace's file: making it fails after address and rules are under way.
  await Bun.write(`${one.netns!.replace(/[^/]+$/, "")}${want.sandboxId.slice(0, 12)}`, "");
  const failing = (async () => {
    await using undo = new Undo();
    await network.attach(want, undo);
    undo.release();
  })();
  await expect(failing).rejects.toMatchObject({ code: "exists" });
  expect(await snapshot()).toBe(before);
});

test("engines side by side choose different networks", async () => {
  const others = ["cccccc", "dddddd", "eeeeee"].map((tag) => makeNetwork(world, tag).network);
  await Promise.all(others.map((other) => other.setup()));
  const subnets = await Promise.all([network, ...others].map(async (other) => (await other.facts()).subnet));
  expect(new Set(subnets).size).toBe(4);
  for (const other of others) await other.teardown();
});

test("teardown leaves nothing of ours", async () => {
  const before = await snapshot();
  const { network: other } = makeNetwork(world, "ffffff");
  await using undo = new Undo();
  await other.attach(request(), undo);
  await other.attach(request({ end: "tap" }), undo);
  undo.release();
  await other.teardown();
  expect(await snapshot()).toBe(before);
});
