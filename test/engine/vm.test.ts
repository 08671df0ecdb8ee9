import { afterAll, beforeAll, expect, test } from "bun:test";
import { release } from "node:os";
import { Bed, config, eventually, finish, logText, project, run } from "./bed.ts";

// A few starts under emulation take seconds: what is the engine's own and differs behind this wall, in as few VMs as can be.
let bed: Bed;
beforeAll(async () => {
  bed = await Bed.make();
}, 60_000);
afterAll(() => bed[Symbol.asyncDispose](), 60_000);

const isolation = "vm" as const;

test("its own kernel, its exit code, the accelerator's label, and a uid of its own", async () => {
  const { id, stdout, exitCode } = await run(bed.engine, ["sh", "-c", "uname -r; exit 3"], { isolation });
  expect(exitCode).toBe(3);
  expect(stdout.trim()).not.toBe(release());
  expect(await bed.engine.wait(project, id, "not-running")).toEqual({ exitCode: 3, oomKilled: false });
  const view = await bed.engine.inspect(project, id);
  expect(["kvm", "tcg"]).toContain(view.accelerator ?? "");
  expect(view.startPhases?.boot).toBeGreaterThan(0);
  const other = await bed.engine.create(project, undefined, config(["true"], { isolation }));
  const uids = bed.open.state.sandboxes.all().map((sandbox) => sandbox.uid);
  expect(new Set(uids).size).toBe(2);
  expect(Math.min(...(uids as number[]))).toBe(710_000);
  await bed.engine.remove(project, other.id, { force: false, volumes: true });
  await bed.engine.remove(project, id, { force: false, volumes: true });
}, 60_000);

test("adopted by another engine; its layer survives stop and start", async () => {
  const command = [
    "sh",
    "-c",
    "echo x >>/count; wc -l </count; trap 'exit 9' TERM; while :; do sleep 0.1; done",
  ];
  const { id } = await bed.engine.create(project, "keeps", config(command, { isolation }));
  await bed.engine.start(project, id);
  await eventually("the first line", async () => (await logText(bed.engine, id)) === "1\n");
  await bed.again();
  expect((await bed.engine.inspect(project, id)).state).toBe("running");
  const made = await bed.engine.createExec(project, id, {
    args: ["cat", "/count"],
    env: [],
    tty: false,
    openStdin: false,
    privileged: false,
  });
  expect((await finish(await bed.engine.startExec(project, made.id))).stdout).toBe("x\n");
  await bed.engine.stop(project, id, 10);
  expect(await bed.engine.inspect(project, id)).toMatchObject({ state: "exited", exitCode: 9 });
  await bed.engine.start(project, id);
  await eventually("the second line", async () => (await logText(bed.engine, id)) === "1\n2\n");
  const again = await bed.engine.createExec(project, id, { ...made.config, args: ["wc", "-l", "/count"] });
  expect((await finish(await bed.engine.startExec(project, again.id))).stdout).toBe("2 /count\n");
}, 90_000);
