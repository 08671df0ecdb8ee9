import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { instanceFolder, sandboxFolder } from "../../src/lib/paths.ts";
import type { EngineEvent } from "../../src/ports/engine.ts";
import { Bed, config, eventually, finish, logText, project, run } from "./bed.ts";

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.make();
}, 60_000);
afterAll(() => bed[Symbol.asyncDispose](), 60_000);
afterEach(async () => {
  for (const { id } of await bed.engine.list(project, { all: true, filters: {} }))
    await bed.engine.remove(project, id, { force: true, volumes: true });
});

const sleeper = ["sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.05; done"];
const execConfig = (args: string[]) => ({
  args,
  env: [],
  tty: false,
  openStdin: false,
  privileged: false as const,
});

test("create, attach, start, output, exit code, log, inspect, remove", async () => {
  const { id, ...ended } = await run(bed.engine, ["sh", "-c", "echo out; echo err >&2; exit 3"]);
  expect(ended).toEqual({ stdout: "out\n", stderr: "err\n", exitCode: 3 });
  await bed.engine.wait(project, id, "not-running");
  const view = await bed.engine.inspect(project, id);
  expect(view).toMatchObject({ state: "exited", exitCode: 3, generation: 1 });
  expect(view.startPhases?.total).toBeGreaterThan(0);
  expect((await logText(bed.engine, id)).split("\n").sort()).toEqual(["", "err", "out"]);
  await bed.engine.remove(project, id, { force: false, volumes: true });
  expect(existsSync(instanceFolder(bed.paths, id))).toBe(false);
  expect(existsSync(sandboxFolder(bed.paths, id))).toBe(false);
  expect(bed.open.state.sandboxes.all()).toEqual([]);
}, 20_000);

test("environment, hostname, folder, user and files are what was asked for", async () => {
  const { stdout } = await run(
    bed.engine,
    [
      "sh",
      "-c",
      "pwd; hostname; id -u; echo $A $PATH; cat /etc/hostname; grep nameserver /etc/resolv.conf | wc -l",
    ],
    { workdir: "/made", hostname: "box", user: "1000", env: ["A=1"] },
  );
  expect(stdout).toBe(
    "/made\nbox\n1000\n1 /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nbox\n1\n",
  );
}, 20_000);

test("a user without root has no effective capabilities; root has Docker's", async () => {
  const caps = async (own: { user?: string; capAdd?: string[] }) =>
    /CapEff:\s+([0-9a-f]+)/.exec((await run(bed.engine, ["cat", "/proc/self/status"], own)).stdout)?.[1];
  expect(await caps({ user: "1000" })).toBe("0000000000000000");
  expect(await caps({})).toBe("00000000a80425fb");
  expect(await caps({ capAdd: ["NET_ADMIN"] })).toBe("00000000a80435fb");
}, 30_000);

test("stop sends the stop signal, then SIGKILL; start again is another generation", async () => {
  const { id } = await bed.engine.create(project, "stops", config(sleeper));
  await bed.engine.start(project, id);
  await bed.engine.stop(project, id, 10);
  expect(await bed.engine.inspect(project, id)).toMatchObject({
    state: "exited",
    exitCode: 9,
    stoppedByUser: true,
  });
  await bed.engine.start(project, id);
  await bed.engine.kill(project, id, "KILL");
  expect(await bed.engine.inspect(project, id)).toMatchObject({
    state: "exited",
    exitCode: 137,
    generation: 2,
  });
}, 20_000);

test("exec: output, exit code, user and environment", async () => {
  const { id } = await bed.engine.create(project, undefined, config(sleeper, { env: ["A=1"] }));
  await bed.engine.start(project, id);
  const made = await bed.engine.createExec(project, id, {
    ...execConfig(["sh", "-c", "echo $A $B; id -u; exit 4"]),
    env: ["B=2"],
    user: "7",
  });
  expect(await finish(await bed.engine.startExec(project, made.id))).toEqual({
    stdout: "1 2\n7\n",
    stderr: "",
    exitCode: 4,
  });
  expect(await bed.engine.inspectExec(project, made.id)).toMatchObject({ running: false, exitCode: 4 });
}, 20_000);

test("pause stops time for it, unpause goes on; stats are its own", async () => {
  const { id } = await bed.engine.create(
    project,
    undefined,
    config(["sleep", "100"], { limits: { memory: 64 << 20 } }),
  );
  await bed.engine.start(project, id);
  const stats = await bed.engine.stats(project, id);
  expect(stats.memoryLimit).toBe(64 << 20);
  expect(stats.pids).toBe(1);
  await bed.engine.pause(project, id);
  expect((await bed.engine.inspect(project, id)).state).toBe("paused");
  await bed.engine.unpause(project, id);
  await bed.engine.kill(project, id, "9");
  expect((await bed.engine.inspect(project, id)).state).toBe("exited");
}, 20_000);

test("mounts: a bound folder, a named volume filled from the image, a tmpfs", async () => {
  const source = join(bed.base, "bound");
  mkdirSync(source);
  writeFileSync(join(source, "in"), "from the host");
  const { stdout } = await run(
    bed.engine,
    ["sh", "-c", "cat /b/in; echo x >/b/out; ls /v; grep ' /t ' /proc/mounts"],
    {
      mounts: [
        { type: "bind", source, target: "/b", readOnly: false, createSource: false },
        { type: "volume", source: "vol", target: "/v", readOnly: false, noCopy: false },
        { type: "tmpfs", target: "/t", options: [], size: 1 << 20 },
      ],
    },
  );
  expect(stdout).toContain("from the host");
  expect(stdout).toMatch(/ \/t tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k/);
  expect(readFileSync(join(source, "out"), "utf8")).toBe("x\n");
  expect((await bed.engine.listVolumes(project)).map((volume) => volume.name)).toEqual(["vol"]);
  await expect(bed.engine.removeVolume(project, "vol", false)).rejects.toThrow("used by");
}, 20_000);

test("files of a running and of a stopped instance can be read and written", async () => {
  const { id } = await run(bed.engine, ["sh", "-c", "echo kept >/file"]);
  await bed.engine.wait(project, id, "not-running");
  expect(await bed.engine.statPath(project, id, "/file")).toMatchObject({ name: "file", size: 5 });
  const { tar } = await bed.engine.readArchive(project, id, "/file");
  const parts: Uint8Array[] = [];
  for await (const part of tar) parts.push(part);
  await bed.engine.writeArchive(
    project,
    id,
    "/tmp",
    (async function* () {
      yield* parts;
    })(),
  );
  expect(await bed.engine.statPath(project, id, "/tmp/file")).toMatchObject({ size: 5 });
}, 20_000);

test("a command that is not there: 127, everything undone, the record says why", async () => {
  const { id } = await bed.engine.create(project, "wrong", config(["/no/such/program"]));
  await expect(bed.engine.start(project, id)).rejects.toMatchObject({ exitStatus: 127 });
  expect(await bed.engine.inspect(project, id)).toMatchObject({ state: "created", exitCode: 127 });
  expect(bed.open.state.sandboxes.get(id)).toEqual({ id, project, isolation: "container" });
}, 20_000);

test("--rm removes with its anonymous volumes; restart policies restart", async () => {
  const mounts = [{ type: "volume" as const, target: "/data", readOnly: false, noCopy: false }];
  const { id } = await bed.engine.create(project, undefined, config(["true"], { autoRemove: true, mounts }));
  const removed = bed.engine.wait(project, id, "removed");
  await bed.engine.start(project, id);
  expect(await removed).toEqual({ exitCode: 0, oomKilled: false });
  expect((await bed.engine.listVolumes(project)).filter((volume) => volume.anonymous)).toEqual([]);

  const restart = { name: "on-failure" as const, maxRetries: 2 };
  const again = await bed.engine.create(project, undefined, config(["false"], { restart }));
  await bed.engine.start(project, again.id);
  await eventually("the last exit", async () => {
    const { state, restartCount } = await bed.engine.inspect(project, again.id);
    return state === "exited" && restartCount === 2;
  });
}, 20_000);

test("events tell the story in order", async () => {
  const stop = new AbortController();
  const seen: EngineEvent[] = [];
  const reading = (async () => {
    for await (const event of bed.engine.events(project, { filters: { type: ["container"] } }, stop.signal))
      seen.push(event);
  })();
  const { id } = await run(bed.engine, ["false"]);
  await bed.engine.wait(project, id, "not-running");
  await bed.engine.remove(project, id, { force: false, volumes: true });
  stop.abort();
  await reading;
  expect(seen.map((event) => event.action)).toEqual(["create", "attach", "start", "die", "destroy"]);
  expect(seen[3]?.attributes.exitCode).toBe("1");
}, 20_000);

test("another engine takes over: the living go on, exits meanwhile are known", async () => {
  const lives = await bed.engine.create(project, "lives", config(sleeper));
  const ends = await bed.engine.create(project, "ends", config(["sh", "-c", "sleep 0.3; exit 5"]));
  const { pid } = await bed.engine.start(project, lives.id);
  await bed.engine.start(project, ends.id);
  await bed.again(() => Bun.sleep(800));
  expect(await bed.engine.inspect(project, lives.id)).toMatchObject({ state: "running", pid });
  expect(await bed.engine.inspect(project, ends.id)).toMatchObject({ state: "exited", exitCode: 5 });
  const made = await bed.engine.createExec(project, lives.id, execConfig(["echo", "here"]));
  expect((await finish(await bed.engine.startExec(project, made.id))).stdout).toBe("here\n");
  await bed.engine.stop(project, lives.id);
  expect(await bed.engine.inspect(project, lives.id)).toMatchObject({ state: "exited", exitCode: 9 });
}, 20_000);

test("a supervisor that is killed: exit 137, nothing of it is left", async () => {
  const { id } = await bed.engine.create(project, "orphan", config(["sleep", "1000"]));
  const { supervisorPid, pid } = await bed.engine.start(project, id);
  process.kill(supervisorPid as number, "SIGKILL");
  await bed.engine.wait(project, id, "not-running");
  await eventually("the end", async () => !existsSync(`/proc/${pid}`));
  expect(await bed.engine.inspect(project, id)).toMatchObject({ state: "exited", exitCode: 137 });
  await bed.engine.start(project, id);
  expect((await bed.engine.inspect(project, id)).state).toBe("running");
}, 20_000);
