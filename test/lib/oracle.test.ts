import { afterAll, expect, test } from "bun:test";
import { execFileSync, spawn } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { differences, type OracleScope, type Snapshot, snapshot } from "./oracle.ts";

// The oracle is worth nothing unless it sees a leak of each kind: one of each is made and must be seen.
const base = mkdtempSync(join(tmpdir(), "gantry-oracle-"));
const scope: OracleScope = {
  root: join(base, "root"),
  run: join(base, "run"),
  tag: "0rac1e",
  daemon: process.pid,
};
mkdirSync(scope.root);
mkdirSync(scope.run);
afterAll(() => rmSync(base, { recursive: true, force: true }));

const run = (...argv: string[]) =>
  execFileSync(argv[0]!, argv.slice(1), { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });

/** Leaks with `leak`, expects `kind` to be reported, heals, and expects silence. */
async function sees(
  kind: keyof Snapshot,
  leak: () => void | Promise<void>,
  heal: () => void | Promise<void>,
): Promise<void> {
  const before = snapshot(scope);
  await leak();
  const found = differences(before, snapshot(scope)).filter((line) => line.startsWith(`${kind}: leaked`));
  await heal();
  expect(found.length).toBeGreaterThan(0);
  // The "daemon" is this very process, whose runtime closes the sockets of ended children when it pleases.
  const left = differences(before, snapshot(scope)).filter(
    (line) => line.startsWith(`${kind}:`) && !/^files: \w+ socket:/.test(line),
  );
  expect(left).toEqual([]);
}

test("sees a leaked mount", () => {
  const folder = join(scope.run, "m");
  mkdirSync(folder);
  return sees(
    "mounts",
    () => void run("mount", "-t", "tmpfs", "leak", folder),
    () => void run("umount", folder),
  );
});

test("sees a mount leaked in another process's namespace", async () => {
  const folder = join(scope.run, "m");
  let child: ReturnType<typeof spawn> | undefined;
  await sees(
    "mounts",
    async () => {
      child = spawn(
        "unshare",
        ["-m", "sh", "-c", `mount -t tmpfs leak ${folder} && echo up && exec sleep 100`],
        { stdio: ["ignore", "pipe", "ignore"] },
      );
      await new Promise((resolve) => child!.stdout!.once("data", resolve));
    },
    async () => {
      child!.kill("SIGKILL");
      await new Promise((resolve) => child!.once("exit", resolve));
    },
  );
});

test("sees a leaked namespace", () => {
  const file = join(scope.run, "ns");
  writeFileSync(file, "");
  return sees(
    "namespaces",
    () => void run("unshare", `--net=${file}`, "true"),
    () => void run("umount", file),
  );
});

test("sees a leaked link", () =>
  sees(
    "links",
    () => void run("ip", "link", "add", "gt-leak", "type", "bridge"),
    () => void run("ip", "link", "del", "gt-leak"),
  ));

test("sees a leaked nft rule", () =>
  sees(
    "nft",
    () => void run("nft", "add", "table", "ip", "gantry_0rac1e"),
    () => void run("nft", "delete", "table", "ip", "gantry_0rac1e"),
  ));

test("sees a leaked cgroup", () => {
  const controller = execFileSync(
    "sh",
    ["-c", "test -d /sys/fs/cgroup/pids && echo /sys/fs/cgroup/pids || echo /sys/fs/cgroup"],
    { encoding: "utf8" },
  ).trim();
  const folder = `${controller}/gantry/${scope.tag}/leak`;
  return sees(
    "cgroups",
    () => void mkdirSync(folder, { recursive: true }),
    () => {
      rmdirSync(folder);
      rmdirSync(join(folder, ".."));
    },
  );
});

test("sees a leaked loop device", () => {
  const file = join(base, "disk");
  writeFileSync(file, Buffer.alloc(1 << 20));
  let device = "";
  return sees(
    "loops",
    () => {
      device = run("losetup", "--show", "-f", file).trim();
    },
    () => void run("losetup", "-d", device),
  );
});

test("sees a leaked process", async () => {
  let child: ReturnType<typeof spawn> | undefined;
  await sees(
    "processes",
    async () => {
      child = spawn("busybox", ["sleep", "100"], { cwd: scope.run, stdio: "ignore" });
      await new Promise((resolve) => setTimeout(resolve, 100));
    },
    async () => {
      child!.kill("SIGKILL");
      await new Promise((resolve) => child!.once("exit", resolve));
    },
  );
});

test("sees a leaked open file of the daemon", () => {
  const file = join(base, "open");
  writeFileSync(file, "");
  let fd = -1;
  return sees(
    "files",
    () => {
      fd = openSync(file, "r");
    },
    () => closeSync(fd),
  );
});

test("sees a leaked store reference", () => {
  const file = join(scope.root, "instances");
  return sees(
    "store",
    () => writeFileSync(file, ""),
    () => rmSync(file),
  );
});
