import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { exec } from "../../../src/lib/exec.ts";
import { Undo } from "../../../src/lib/undo.ts";
import type { Attachment, Network } from "../../../src/ports/network.ts";
import {
  ask,
  endWorld,
  hostAddress,
  internetAddress,
  makeNetwork,
  makeWorld,
  memorySettings,
  request,
  serve,
  sh,
  type World,
} from "../bed.ts";

let world: World;
let dockerd: ChildProcess | undefined;
beforeAll(async () => {
  world = await makeWorld();
  for (const folder of ["/run", "/etc/docker"]) // dockerd leaves its key and folders there
    if (existsSync(folder)) await sh("mount", "-t", "tmpfs", "tmpfs", folder);
  await serve(world.internet, "tcp", "0.0.0.0", 80, "internet");
});
afterAll(async () => {
  await stopDocker();
  await endWorld(world);
});

/** A dockerd of this namespace alone: its bridge, rules and files are not the machine's. */
async function startDocker(): Promise<void> {
  const folder = join(world.folder, "docker");
  mkdirSync(folder, { recursive: true });
  const log = openSync(join(world.folder, "docker.log"), "a");
  const socket = join(folder, "docker.sock");
  dockerd = spawn(
    "dockerd",
    [
      `--data-root=${join(folder, "data")}`,
      `--exec-root=${join(folder, "exec")}`,
      `--pidfile=${join(folder, "pid")}`,
      `--host=unix://${socket}`,
      "--storage-driver=vfs",
    ],
    { stdio: ["ignore", log, log] },
  );
  for (let tries = 0; tries < 300; tries++) {
    if (existsSync(socket) && (await rulesOf("DOCKER-USER")).includes("RETURN")) return;
    await Bun.sleep(100);
  }
  throw new Error(
    `dockerd did not come up: ${(await sh("tail", "-5", join(world.folder, "docker.log"))).stdout}`,
  );
}

const rulesOf = (chain: string) =>
  exec(["iptables", "-w", "-S", chain], { ok: [0, 1] }).then((result) => result.stdout);
const ourRules = async () => (await rulesOf("DOCKER-USER")).match(/gantry-abcdef/g)?.length ?? 0;

async function stopDocker(): Promise<void> {
  const child = dockerd;
  dockerd = undefined;
  if (!child) return;
  const ended = new Promise((done) => child.once("exit", done));
  child.kill("SIGTERM");
  await ended;
}

async function attach(network: Network, over = {}): Promise<Attachment> {
  await using undo = new Undo();
  const attachment = await network.attach(request(over), undo);
  undo.release();
  return attachment;
}

async function someInstances(network: Network) {
  const web = await attach(network, {
    ports: [{ hostIp: "0.0.0.0", hostPort: 8080, containerPort: 80, protocol: "tcp" }],
  });
  const other = await attach(network);
  await serve(web.netns, "tcp", "0.0.0.0", 80, "web");
  return { web, other };
}

/** What works between instances, outwards and inwards. */
const works = async ({ web, other }: { web: Attachment; other: Attachment }) => ({
  between: (await ask(other.netns, "tcp", web.address!, 80, 500)).startsWith("web"),
  outwards: (await ask(other.netns, "tcp", internetAddress, 80, 500)).startsWith("internet"),
  inwards: (await ask(world.internet, "tcp", hostAddress, 8080, 500)).startsWith("web"),
  hairpin: (await ask(other.netns, "tcp", hostAddress, 8080, 500)).startsWith("web"),
});
const all = { between: true, outwards: true, inwards: true, hairpin: true };

test("dockerd started after us: connectivity is back within 5 seconds by one marked rule", async () => {
  const settings = memorySettings();
  const { network } = makeNetwork(world, "abcdef", settings);
  const instances = await someInstances(network);
  expect(await works(instances)).toEqual(all);
  expect((await network.facts()).dockerUserRule).toBe("not needed");
  await startDocker();
  await sh("iptables", "-P", "FORWARD", "DROP"); // which this version does only when it switched forwarding on itself
  await Bun.sleep(4500);
  expect(await works(instances)).toEqual(all);
  expect(await ourRules()).toBe(1);
  expect((await network.facts()).dockerUserRule).toBe("present");

  // The control: it is this rule that lets packets through.
  await network.stop();
  await sh("iptables", ...JSON.parse(settings.get("network.dockerRule")!));
  expect(await works(instances)).toEqual({ between: false, outwards: false, inwards: false, hairpin: false });

  // The next engine puts it back, and takes it away when it cleans up.
  const { network: next } = makeNetwork(world, "abcdef", settings);
  await next.reconcile(
    [instances.web, instances.other].map((attachment) => ({ project: "default", attachment, names: [] })),
  );
  expect(await works(instances)).toEqual(all);
  await next.teardown();
  expect(await ourRules()).toBe(0);
  expect(await rulesOf("DOCKER-USER")).toContain("-A DOCKER-USER -j RETURN");
});

test("dockerd started before us: all works from the first instance on", async () => {
  await stopDocker();
  await sh("nft", "flush", "ruleset");
  await sh("sysctl", "-qw", "net.ipv4.ip_forward=0");
  await startDocker();
  expect(await rulesOf("FORWARD")).toContain("-P FORWARD DROP");
  const { network } = makeNetwork(world);
  const instances = await someInstances(network);
  expect(await works(instances)).toEqual(all);
  expect(await ourRules()).toBe(1);

  // What Docker's users see from outside stays closed: only what is published comes in.
  await sh("nsenter", `--net=${world.internet}`, "ip", "route", "add", "10.210.0.0/16", "via", hostAddress);
  expect(await ask(world.internet, "tcp", instances.web.address!, 80, 500)).toBe("timeout");
  await network.teardown();
  expect(await ourRules()).toBe(0);
});

test("a restarted dockerd changes nothing", async () => {
  const { network } = makeNetwork(world);
  const instances = await someInstances(network);
  await stopDocker();
  await startDocker();
  await Bun.sleep(4500);
  expect(await works(instances)).toEqual(all);
  expect(await ourRules()).toBe(1);
  await network.teardown();
});
