import { afterAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { testConfig } from "../../src/engine/plan/plan.fixture.ts";
import { sandboxFolder } from "../../src/lib/paths.ts";
import type { InstanceConfig } from "../../src/model/instance.ts";
import { ContainerBench, collect } from "./bench.ts";

const bench = new ContainerBench();
afterAll(() => bench[Symbol.asyncDispose]());
const sh = (script: string) => ["sh", "-c", script];
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const cgroups = (id: string): string[] =>
  readdirSync("/sys/fs/cgroup", { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join("/sys/fs/cgroup", entry.name, "gantry", bench.paths.tag, id))
    .concat(join("/sys/fs/cgroup/gantry", bench.paths.tag, id))
    .filter(existsSync);

const mounts = (id: string): string[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n");
      } catch {
        return [];
      }
    })
    .filter((line) => line.includes(id));

/** A zombie is not: whoever inherited it will reap it. */
const alive = (pid: number): boolean => {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
};

/** Waits for a death that is under way. */
async function gone(pid: number): Promise<boolean> {
  for (let i = 0; i < 100 && alive(pid); i++) await later(50);
  return !alive(pid);
}

test("an ended container leaves nothing but its layer, log and exit file", async () => {
  const box = await bench.up(sh("echo hello; touch /written"));
  const { pid } = box.supervisor;
  const exit = await box.ended();
  expect(exit).toMatchObject({ workload: box.id, generation: 1, exitCode: 0, oomKilled: false });
  expect(Math.abs(Date.now() - exit.finishedAt)).toBeLessThan(10_000);
  await bench.backend.close(box.sandbox);
  expect(alive(pid)).toBe(false);
  expect(cgroups(box.id)).toEqual([]);
  expect(mounts(box.id)).toEqual([]);
  expect(existsSync(sandboxFolder(bench.paths, box.id))).toBe(false);
  expect(readdirSync(box.folder).sort()).toEqual(["exit.json", "log.json", "upper", "work"]);
  expect(existsSync(join(box.folder, "upper/written"))).toBe(true);
  expect(box.log.map(({ log, stream }) => [log, stream])).toEqual([["hello\n", "stdout"]]);
  expect(box.log[0]!.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
  await box.close();
  expect(existsSync(box.folder)).toBe(false);
});

test("a killed supervisor: the record alone is enough to end the container", async () => {
  const box = await bench.make({ command: ["sleep", "1000"] });
  await box.open();
  const init = await box.start();
  expect(alive(init)).toBe(true);
  const exec = collect(await box.execSession(["sleep", "1000"]));
  exec.catch(() => {});
  process.kill(box.supervisor.pid, "SIGKILL");
  await box.supervisor.closed;
  await later(20);
  await bench.backend.close(box.sandbox);
  // Whoever inherited the exec's process must reap it before the init of its namespace can go.
  expect(await gone(init)).toBe(true);
  expect(cgroups(box.id)).toEqual([]);
  expect(mounts(box.id)).toEqual([]);
  await bench.backend.close(box.sandbox); // again: nothing to do
  await box.close();
});

test("a record without the supervisor's process is closed too", async () => {
  const box = await bench.make({ command: ["sleep", "1000"] });
  await box.open();
  const init = await box.start();
  const { pid } = box.supervisor;
  const { supervisor: _, ...bare } = box.sandbox;
  await bench.backend.close(bare);
  expect([await gone(init), await gone(pid)]).toEqual([true, true]);
  expect(cgroups(box.id)).toEqual([]);
  await box.close();
});

test("another engine finds the supervisor again", async () => {
  const box = await bench.up(["sleep", "1000"]);
  box.supervisor.disconnect();
  const again = await bench.supervisors.connect(sandboxFolder(bench.paths, box.id));
  const state = await again!.hello();
  expect(state).toMatchObject({ isolation: "container", pid: box.supervisor.pid });
  expect(state.workloads).toMatchObject([{ id: box.id, generation: 1, state: "running", logDropped: 0 }]);
  expect(again!.startTime).toBe(box.supervisor.startTime);
  again!.disconnect();
  await box.close();
  expect(await bench.supervisors.connect(sandboxFolder(bench.paths, box.id))).toBeUndefined();
});

test("pause stops time, resume starts it, and a paused container can be killed", async () => {
  const box = await bench.up(sh("while :; do echo x; sleep 0.02; done"));
  await later(100);
  await box.supervisor.pause(box.id);
  await later(50);
  const before = box.log.length;
  await later(150);
  expect(box.log.length).toBe(before);
  expect((await box.supervisor.hello()).workloads[0]!.state).toBe("paused");
  await expect(box.exec(["true"])).rejects.toMatchObject({ code: "conflict" });
  await box.supervisor.resume(box.id);
  await later(150);
  expect(box.log.length).toBeGreaterThan(before);
  await box.supervisor.pause(box.id);
  await box.supervisor.signal(box.id, 9);
  expect((await box.ended()).exitCode).toBe(137);
  await box.close();
});

test("stats follow the workload", async () => {
  const box = await bench.up(sh("while :; do :; done"), { limits: { memory: 64 << 20, pids: 20 } });
  await later(300);
  const stats = await box.supervisor.stats(box.id);
  expect(stats.cpuNs).toBeGreaterThan(10_000_000);
  expect(stats.memory).toBeGreaterThan(0);
  expect(stats.memory).toBeLessThan(64 << 20);
  expect(stats).toMatchObject({ memoryLimit: 64 << 20, pids: 1, pidsLimit: 20, netRx: 0, netTx: 0 });
  await box.close();
});

test("files of a running container, and of the same one stopped", async () => {
  const box = await bench.up(sh("mkdir /d; echo content > /d/f; ln -s f /d/l; sleep 1000"));
  await later(100);
  const check = async (files: Pick<typeof box.supervisor, "stat" | "readArchive" | "writeArchive">) => {
    expect(await files.stat(box.id, "/d/f")).toMatchObject({ name: "f", size: 8, mode: 0o100644 });
    expect(await files.stat(box.id, "/d/l")).toMatchObject({ name: "l", linkTarget: "f" });
    await expect(files.stat(box.id, "/nosuch")).rejects.toMatchObject({ code: "not_found" });
    const { stat, tar } = await files.readArchive(box.id, "/d");
    expect(stat.name).toBe("d");
    const parts: Uint8Array[] = [];
    for await (const part of tar) parts.push(part);
    expect(Buffer.concat(parts).includes("content\n")).toBe(true);
    const target = `/tmp/in-${Math.random().toString(36).slice(2)}`;
    await files.writeArchive(
      box.id,
      "/tmp",
      (async function* () {
        yield Buffer.concat(parts);
      })(),
    );
    expect(await files.stat(box.id, "/tmp/d/f")).toMatchObject({ size: 8 });
    await expect(files.writeArchive(box.id, target, (async function* () {})())).rejects.toThrow();
  };
  await check(box.supervisor);
  await box.supervisor.signal(box.id, 9);
  await box.ended();
  await bench.backend.close(box.sandbox);
  await bench.backend.withFiles(box.request, check);
  expect(mounts(box.id)).toEqual([]);
  await box.close();
});

test("a start that fails leaves nothing mounted and can be tried again elsewhere", async () => {
  const box = await bench.make({ command: ["nosuch"] });
  await box.open();
  await expect(box.start()).rejects.toMatchObject({ exitStatus: 127 });
  expect(mounts(join(box.id, "rootfs"))).toEqual([]);
  await box.close();
  expect(cgroups(box.id)).toEqual([]);
});

test("facts: a runtime was found by running it", async () => {
  const facts = await bench.backend.facts();
  expect(facts).toMatchObject({ isolation: "container", usable: true });
  expect(facts.summary).toMatch(/^(crun|runc) \d/);
  expect(bench.backend.refusals(box({ storage: 1 << 30 }))).toHaveLength(1);
  expect(bench.backend.refusals(box({}))).toEqual([]);
});

const box = (limits: InstanceConfig["limits"]) => testConfig({ limits });
