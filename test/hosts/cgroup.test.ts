import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { TestEngine } from "../lib/engine.ts";

// A host whose only cgroup hierarchy is version 2, which this machine may not be: a VM, with the container wall inside.
const repository = resolve(import.meta.dir, "../..");
const folder = mkdtempSync("/var/tmp/gantry-host-");
const results = new Map<string, string>();
let console_ = "";

beforeAll(async () => {
  await using engine = new TestEngine();
  await engine.ok("image", "bootstrap", "busybox");
  mkdirSync(join(folder, "files"));
  await engine.ok("save", "-o", join(folder, "files", "busybox.tar"), "busybox");
  await engine.cli("daemon", "--stop");
  cpSync(join(import.meta.dir, "cgroup-v2"), join(folder, "script"));
  await run([join(import.meta.dir, "make-host"), folder], 300_000);
  console_ = await boot();
  for (const [, name, value] of console_.matchAll(/^RESULT (\S+) (.*?)\r?$/gm)) results.set(name!, value!);
}, 1_200_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const guest = JSON.parse(readFileSync(join(repository, "build/guest/manifest.json"), "utf8"));

async function boot(): Promise<string> {
  const mhz = Number(/^cpu MHz\s*: ([\d.]+)/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? 2000);
  const khz = Math.round(mhz * 1000);
  const line = `console=ttyS0 quiet panic=-1 tsc_early_khz=${khz} lpj=${khz * 4} no_timer_check cryptomgr.notests`;
  return await run(
    [
      ...["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
      ...["-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "2G", "-serial", "stdio"],
      ...["-kernel", join(repository, "build/guest", guest.kernel.file), "-append", line],
      ...["-initrd", join(folder, "initramfs")],
      ...["-drive", `file=${join(folder, "disk.img")},format=raw,if=virtio,cache=unsafe`],
      ...["-device", "virtio-rng-pci"],
    ],
    800_000,
  );
}

async function run(argv: string[], limit: number): Promise<string> {
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), limit);
  let text = "";
  child.stdout.on("data", (part: Buffer) => {
    text += part.toString("latin1");
    if (process.env.GANTRY_TEST_VERBOSE) process.stderr.write(part);
  });
  const status = await new Promise<number | null>((done) => child.once("close", done));
  clearTimeout(timer);
  if (status !== 0) throw new Error(`${argv[0]} ended with ${status}: ${text.slice(-4000)}`);
  return text;
}

for (const [name, expected] of [
  ["cgroup", /^v2$/],
  ["exit", /^3$/],
  ["oom-status", /^137$/],
  ["oom-killed", /^true$/],
  ["pids", /^8$/],
  ["cpus", /^50000 100000$/],
  ["memory", /^67108864$/],
  ["stats", /^6\d(\.\d+)?MiB [1-9]/],
  ["paused", /^paused$/],
  ["frozen", /^frozen 1$/],
  ["unpaused", /^running$/],
  ["device-denied", /^denied$/],
  ["device-allowed", /^allowed$/],
  ["left", /^0$/],
] as const) {
  test(`version 2 alone: ${name}`, () => {
    if (!results.has(name)) console.error(console_.slice(-6000));
    expect(results.get(name)).toMatch(expected);
  });
}
