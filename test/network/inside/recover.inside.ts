import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Undo } from "../../../src/lib/undo.ts";
import { createNetwork } from "../../../src/network/index.ts";
import type { Attachment, Network } from "../../../src/ports/network.ts";
import {
  ask,
  endWorld,
  hostAddress,
  internetAddress,
  makeNetwork,
  makeWorld,
  probeStart,
  request,
  resolve,
  serve,
  sh,
  snapshot,
  type World,
} from "../bed.ts";
import { fileSettings } from "../engine.ts";

let world: World;
beforeAll(async () => {
  world = await makeWorld();
  await serve(world.internet, "tcp", "0.0.0.0", 80, "internet");
});
afterAll(() => endWorld(world));

const published = [{ hostIp: "0.0.0.0", hostPort: 8080, containerPort: 80, protocol: "tcp" as const }];

async function attach(network: Network, over = {}): Promise<Attachment> {
  await using undo = new Undo();
  const attachment = await network.attach(request(over), undo);
  undo.release();
  return attachment;
}

/** Milliseconds until `works` does. */
async function timeUntil(works: () => Promise<boolean>): Promise<number> {
  const start = Date.now();
  while (Date.now() - start < 15_000) if (await works()) return Date.now() - start;
  return Number.POSITIVE_INFINITY;
}

test("after a flush of all rules connectivity is back within 5 seconds, and connections live on", async () => {
  const { network } = makeNetwork(world);
  const web = await attach(network, { ports: published });
  const other = await attach(network);
  await serve(web.netns, "tcp", "0.0.0.0", 80, "web");
  const held = probeStart(other.netns, "hold", "tcp", internetAddress, "80");
  await Bun.sleep(700);
  expect(held.lines.length).toBeGreaterThan(1);
  await sh("nft", "flush", "ruleset");
  expect(await ask(world.internet, "tcp", hostAddress, 8080, 300)).not.toStartWith("web");
  const back = await timeUntil(async () => {
    const inward = await ask(world.internet, "tcp", hostAddress, 8080, 300);
    const outward = await ask(other.netns, "tcp", internetAddress, 80, 300);
    return inward.startsWith("web") && outward.startsWith("internet");
  });
  expect(back).toBeLessThan(5000);
  await Bun.sleep(1500);
  const before = held.lines.length;
  await Bun.sleep(1000);
  expect(held.lines.length).toBeGreaterThan(before);
  expect(held.lines).not.toContain("closed");
  held.child.kill();
  await network.teardown();
});

test("an attach right after a flush brings all the rules back", async () => {
  const { network } = makeNetwork(world);
  const web = await attach(network, { ports: published });
  await serve(web.netns, "tcp", "0.0.0.0", 80, "web");
  await sh("nft", "flush", "ruleset");
  await attach(network);
  expect(await ask(world.internet, "tcp", hostAddress, 8080)).toStartWith("web");
  await network.teardown();
});

test("a deleted bridge comes back with its instances in it", async () => {
  const { network } = makeNetwork(world);
  const web = await attach(network, { ports: published });
  const tap = await attach(network, { end: "tap" });
  await serve(web.netns, "tcp", "0.0.0.0", 80, "web");
  await sh("ip", "link", "del", "gt-abcdef");
  const back = await timeUntil(async () =>
    (await ask(world.internet, "tcp", hostAddress, 8080, 300)).startsWith("web"),
  );
  expect(back).toBeLessThan(5000);
  const [link] = JSON.parse((await sh("ip", "-j", "link", "show", tap.tap!)).stdout);
  expect(link.master).toBe("gt-abcdef");
  await network.teardown();
});

test("forwarding that was switched off is switched on again", async () => {
  const { network } = makeNetwork(world);
  const one = await attach(network);
  await sh("sysctl", "-qw", "net.ipv4.ip_forward=0");
  expect(
    await timeUntil(async () =>
      (await ask(one.netns, "tcp", internetAddress, 80, 300)).startsWith("internet"),
    ),
  ).toBeLessThan(5000);
  await network.teardown();
});

async function startEngine(name: string, count: number, rush = false) {
  const run = join(world.folder, name);
  mkdirSync(run, { recursive: true });
  const settings = join(world.folder, `${name}.json`);
  const argv = [
    join(import.meta.dir, "../engine.ts"),
    "abcdef",
    run,
    settings,
    String(count),
    ...(rush ? ["rush"] : []),
  ];
  const child = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] });
  const line = await new Promise<string>((done, fail) => {
    let text = "";
    child.stdout.on("data", (data: Buffer) => {
      text += data.toString();
      if (text.includes("\n")) done(text);
    });
    child.once("exit", () => fail(new Error("the engine ended")));
  });
  const kill = () => new Promise((done) => child.once("exit", done) && child.kill("SIGKILL"));
  const next = () => createNetwork({ paths: { tag: "abcdef", run }, settings: fileSettings(settings) });
  return { line, kill, next };
}

test("after SIGKILL traffic and published ports go on, and the next engine adopts what lives and clears the rest", async () => {
  const before = await snapshot();
  const { line, kill, next } = await startEngine("run-a", 12);
  const attached = JSON.parse(line) as Attachment[];
  const [web, other, gone, tap] = attached as [Attachment, Attachment, Attachment, Attachment];
  await serve(web.netns, "tcp", "0.0.0.0", 80, "web");
  const held = probeStart(other.netns, "hold", "tcp", internetAddress, "80");
  await kill();
  expect(await ask(world.internet, "tcp", hostAddress, 8080)).toStartWith("web");
  expect(await ask(other.netns, "tcp", internetAddress, 80)).toStartWith("internet");

  const network = next();
  const rules = () => sh("nft", "-a", "-s", "-t", "list", "ruleset").then((result) => result.stdout);
  const untouched = await rules();
  const live = [web, other, tap].map((attachment) => ({ project: "default", attachment, names: ["web"] }));
  await network.reconcile(live);
  expect(await rules()).toBe(untouched); // handles included: nothing was flushed and made again
  const links = (await sh("ip", "-br", "link")).stdout;
  for (const kept of [web.hostLink!, other.hostLink!, tap.tap!]) expect(links).toContain(kept);
  expect(links.match(/gabcdef[vp]/g)).toHaveLength(3);
  expect(
    (await sh("nft", "list", "set", "bridge", "gantry_abcdef", "ends")).stdout.match(/02:42/g),
  ).toHaveLength(3);
  expect((await sh("cat", "/proc/self/mountinfo")).stdout).not.toContain(gone.netns!);
  expect(await ask(world.internet, "tcp", hostAddress, 8080)).toStartWith("web");
  expect(await resolve(other.netns, other.gateway!, "web")).toMatchObject({ rcode: 0 });

  const lines = held.lines.length;
  await Bun.sleep(700);
  expect(held.lines.length).toBeGreaterThan(lines + 1);
  held.child.kill();

  // What was adopted is known: its port is taken, its address is not given again, and its closer works.
  await expect(attach(network, { ports: published })).rejects.toMatchObject({ code: "conflict" });
  const fresh = await Promise.all(Array.from({ length: 12 }, () => attach(network)));
  for (const { address } of fresh) expect([web.address, other.address, tap.address]).not.toContain(address);
  await Promise.all([web, other, tap, ...fresh].map((attachment) => network.detach(attachment)));
  await network.reconcile([]);
  await network.teardown();
  expect(await snapshot()).toBe(before);
});

test("killed amid attaching, nothing is left after the next start", async () => {
  const before = await snapshot();
  for (const delay of [5, 25, 45, 80, 130]) {
    const { kill, next } = await startEngine("run-b", 30, true);
    await Bun.sleep(delay);
    await kill();
    await Bun.sleep(50); // what it had started ends
    const network = next();
    await network.reconcile([]);
    const links = (await sh("ip", "-br", "link")).stdout;
    expect(links).not.toMatch(/gabcdef[vp]/);
    await network.teardown();
    expect(await snapshot()).toBe(before);
  }
});

test("reconcile puts rules back that changed while no engine ran", async () => {
  const { line, kill, next } = await startEngine("run-c", 2);
  const attached = JSON.parse(line) as Attachment[];
  await serve(attached[0]!.netns, "tcp", "0.0.0.0", 80, "web");
  await kill();
  await sh("nft", "delete", "element", "ip", "gantry_abcdef", "ports_any", "{ tcp . 8080 }");
  await sh("nft", "add", "element", "ip", "gantry_abcdef", "ports_any", "{ tcp . 9999 : 10.210.7.7 . 1 }");
  const network = next();
  await network.reconcile(attached.map((attachment) => ({ project: "default", attachment, names: [] })));
  const map = (await sh("nft", "list", "map", "ip", "gantry_abcdef", "ports_any")).stdout;
  expect(map).not.toContain("9999");
  expect(await ask(world.internet, "tcp", hostAddress, 8080)).toStartWith("web");
  await sh("nft", "flush", "chain", "ip", "gantry_abcdef", "prerouting");
  expect(
    await timeUntil(async () => (await ask(world.internet, "tcp", hostAddress, 8080, 300)).startsWith("web")),
  ).toBeLessThan(5000);
  await network.teardown();
});
