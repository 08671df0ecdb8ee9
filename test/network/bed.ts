import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exec } from "../../src/lib/exec.ts";
import { newId } from "../../src/model/ids.ts";
import { createNetwork, type NetworkOptions } from "../../src/network/index.ts";
import type { NetworkRequest } from "../../src/ports/network.ts";

/**
 * A small world for the tests: this process's network namespace is the host (the outer test made it), `internet`
 * is another one that the host reaches by the link `up0` and that knows no way back to the instances.
 */
export const hostAddress = "198.51.100.1";
export const internetAddress = "198.51.100.9";

export interface World {
  folder: string;
  internet: string;
}

export const sh = (...argv: string[]) => exec(argv, { timeout: 20_000 });

export async function makeWorld(): Promise<World> {
  const folder = mkdtempSync("/tmp/network-bed-");
  const internet = join(folder, "internet");
  writeFileSync(internet, "");
  await sh("ip", "link", "set", "lo", "up");
  await exec(["unshare", `--net=${internet}`, "--", "ip", "-batch", "-"], {
    input: [
      "link set lo up",
      `link add eth0 mtu 1400 type veth peer name up0 mtu 1400 netns ${process.pid}`,
      `addr add ${internetAddress}/24 dev eth0`,
      "link set eth0 up",
    ].join("\n"),
  });
  await exec(["ip", "-batch", "-"], {
    input: [
      `addr add ${hostAddress}/24 dev up0`,
      "link set up0 up",
      `route add default via ${internetAddress}`,
    ].join("\n"),
  });
  return { folder, internet };
}

/** Ends the servers and takes the world's files away; the host's part goes with its namespace. */
export async function endWorld(world: World): Promise<void> {
  stopServers();
  await exec(["umount", "-l", world.internet]);
  rmSync(world.folder, { recursive: true, force: true });
}

/** Settings that outlive one engine, as the state room's do. */
export function memorySettings(): NetworkOptions["settings"] & { all: Map<string, string> } {
  const all = new Map<string, string>();
  return { all, get: (key) => all.get(key), set: (key, value) => void all.set(key, value) };
}

export function makeNetwork(world: World, tag = "abcdef", settings = memorySettings(), subnet?: string) {
  const run = join(world.folder, `run-${tag}`);
  mkdirSync(run, { recursive: true });
  return { network: createNetwork({ paths: { tag, run }, settings, subnet }), settings, run };
}

export const request = (over: Partial<NetworkRequest> = {}): NetworkRequest => ({
  sandboxId: newId(),
  project: "default",
  mode: "nat",
  end: "netns",
  ports: [],
  ...over,
});

const probe = join(import.meta.dir, "probe.ts");
const within = (netns: string | undefined, argv: string[]): string[] =>
  netns === undefined ? argv : ["nsenter", `--net=${netns}`, "--", ...argv];

/** Asks a server once; its answer, or the error's code. `netns` undefined: from the host. */
export async function ask(
  netns: string | undefined,
  protocol: string,
  address: string,
  port: number,
  timeout = 1500,
) {
  const argv = within(netns, [
    process.execPath,
    probe,
    "ask",
    protocol,
    address,
    String(port),
    String(timeout),
  ]);
  return (await exec(argv, { timeout: 20_000 })).stdout.trim();
}

/** What a name server says: `{id, rcode, answers}`; `type` as a number. */
export async function resolve(
  netns: string | undefined,
  server: string,
  name: string,
  type = 1,
  protocol = "udp",
  port = 53,
) {
  const argv = within(netns, [
    process.execPath,
    probe,
    "dns",
    protocol,
    server,
    String(port),
    `${name}/${type}`,
  ]);
  const text = (await exec(argv, { timeout: 20_000 })).stdout.trim();
  return text.startsWith("{")
    ? (JSON.parse(text) as { id: boolean; rcode: number; answers: string[] })
    : text;
}

/** Runs a verb of the probe and gives what it prints. */
export const probeRun = (netns: string | undefined, ...args: string[]) =>
  exec(within(netns, [process.execPath, probe, ...args]), { timeout: 30_000 }).then((result) =>
    result.stdout.trim(),
  );

/** Starts a verb of the probe that goes on; its output lines are collected. */
export function probeStart(
  netns: string | undefined,
  ...args: string[]
): { child: ChildProcess; lines: string[] } {
  const argv = within(netns, [process.execPath, probe, ...args]);
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
  servers.push(child);
  const lines: string[] = [];
  child.stdout!.on("data", (data: Buffer) => lines.push(...data.toString().trim().split("\n")));
  return { child, lines };
}

const servers: ChildProcess[] = [];

/** A server that answers `<name> <client address>`; resolves when it listens. */
export async function serve(
  netns: string | undefined,
  protocol: string,
  address: string,
  port: number,
  name: string,
  verb = "serve",
) {
  const argv = within(netns, [process.execPath, probe, verb, protocol, address, String(port), name]);
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
  servers.push(child);
  await new Promise<void>((resolve, reject) => {
    child.stdout!.once("data", () => resolve());
    child.once("exit", (code) => reject(new Error(`server ${name} ended with ${code}`)));
  });
  return child;
}

export function stopServers(): void {
  for (const child of servers.splice(0)) child.kill("SIGKILL");
}

/** What the kernel holds of links, rules and mounts, in a form that compares. */
export async function snapshot(): Promise<string> {
  const [links, rules, mounts] = await Promise.all([
    sh("ip", "-br", "link"),
    sh("nft", "-s", "list", "ruleset"),
    sh("cat", "/proc/self/mountinfo"),
  ]);
  const names = links.stdout.split("\n").map((line) => line.split(/\s+/)[0]!);
  const files = mounts.stdout.split("\n").map((line) => line.split(" ").slice(3, 5).join(" "));
  return [...names.sort(), rules.stdout, ...files.sort()].join("\n");
}
