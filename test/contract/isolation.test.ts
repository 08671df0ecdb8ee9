import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostFacts } from "../../src/engine/host.ts";
import { testConfig } from "../../src/engine/plan/plan.fixture.ts";
import { complete, plan } from "../../src/engine/plan/plan.ts";
import { createImages } from "../../src/image/index.ts";
import { createContainerBackend } from "../../src/isolation/container/index.ts";
import { createVmBackend } from "../../src/isolation/vm/index.ts";
import { removeCgroup } from "../../src/lib/cgroup.ts";
import {
  exitFile,
  instanceFolder,
  logFile,
  type Paths,
  resolvePaths,
  sandboxFolder,
} from "../../src/lib/paths.ts";
import { Undo } from "../../src/lib/undo.ts";
import { newId } from "../../src/model/ids.ts";
import type { InstanceConfig, InstanceRecord, SandboxRecord } from "../../src/model/instance.ts";
import { type Isolation, isolations } from "../../src/model/isolation.ts";
import type { ImageSource } from "../../src/ports/image.ts";
import type { IsolationBackend, OpenRequest } from "../../src/ports/isolation.ts";
import type { ExitRecord, Supervisor } from "../../src/ports/supervisor.ts";
import { createSupervisors } from "../../src/supervisor/index.ts";
import { readSession } from "../vm/bed.ts";

// The contract of ports/isolation.ts, the same for every wall: real images, real supervisors, no engine.
const folder = mkdtempSync(join(tmpdir(), "gt-contract-"));
const paths: Paths = {
  ...resolvePaths({ root: join(folder, "root"), run: join(folder, "run") }),
  libexec: process.env.GANTRY_LIBEXEC ?? join(import.meta.dir, "../../build"),
};
const supervisors = createSupervisors({ paths });
const backends: Record<Isolation, IsolationBackend> = {
  container: createContainerBackend({ paths, supervisors }),
  vm: createVmBackend({ paths, supervisors }),
};
let image: ImageSource;
let uid = 780_000;

beforeAll(async () => {
  for (const path of [paths.root, paths.run]) mkdirSync(path, { recursive: true });
  const images = createImages({ paths, supervisors });
  await images.bootstrap("default", { distribution: "busybox", include: [] });
  image = await images.resolve("default", "busybox");
}, 60_000);
afterAll(async () => {
  await removeCgroup(`/gantry/${paths.tag}`);
  rmSync(folder, { recursive: true, force: true });
});

interface Made {
  record: InstanceRecord;
  sandbox: SandboxRecord;
  request: OpenRequest;
  planned: ReturnType<typeof complete>;
}

async function make(
  isolation: Isolation,
  command: string[],
  own: Partial<InstanceConfig> = {},
): Promise<Made> {
  const id = newId();
  const record: InstanceRecord = {
    ...{ id, project: "default", name: `contract-${id.slice(0, 6)}`, imageDigest: image.digest },
    config: testConfig({ image: "busybox", isolation, command, network: "none", ...own }),
    ...{ state: "created", sandboxId: id, createdAt: Date.now(), oomKilled: false, generation: 1 },
    ...{ restartCount: 0, stoppedByUser: false, volumes: [] },
  };
  const sandbox: SandboxRecord = {
    id,
    project: "default",
    isolation,
    ...(isolation === "vm" && { uid: uid++ }),
  };
  mkdirSync(instanceFolder(paths, id), { recursive: true });
  mkdirSync(sandboxFolder(paths, id), { recursive: true });
  // A namespace with nothing in it, as the network room makes for `none`.
  const netns = join(folder, `ns-${id.slice(0, 12)}`);
  if (isolation === "container") {
    execFileSync("touch", [netns]);
    execFileSync("unshare", [`--net=${netns}`, "ip", "link", "set", "lo", "up"]);
  }
  const attachment = {
    ...{ sandboxId: id, mode: "none" as const, ports: [] },
    ...(isolation === "container" ? { end: "netns" as const, netns } : { end: "tap" as const }),
  };
  const planned = complete(plan(record, image.config, hostFacts()), new Map(), attachment);
  const request: OpenRequest = {
    sandbox,
    instance: record,
    attachment,
    image,
    hostMounts: planned.hostMounts,
  };
  await backends[isolation].createLayer(record, image);
  return { record, sandbox, request, planned };
}

async function open({ sandbox, request }: Made): Promise<Supervisor> {
  const undo = new Undo();
  const supervisor = await backends[sandbox.isolation].open(request, undo);
  undo.release();
  sandbox.supervisor = { pid: supervisor.pid, startTime: supervisor.startTime };
  return supervisor;
}

async function start(made: Made, supervisor: Supervisor): Promise<{ exit: Promise<ExitRecord> }> {
  const exit = new Promise<ExitRecord>((done) =>
    supervisor.onEvent((event) => {
      if (event.event === "exit") done(event);
    }),
  );
  await supervisor.start(
    await backends[made.sandbox.isolation].workload({ ...made.request, ...made.planned }),
  );
  return { exit };
}

/** Closes twice, since that must be harmless, and looks for what is left. */
async function gone({ record, sandbox, request }: Made): Promise<void> {
  const backend = backends[sandbox.isolation];
  await backend.close(sandbox);
  await backend.close(sandbox);
  await backend.removeLayer(record.id);
  await backend.removeLayer(record.id);
  if (request.attachment?.netns) execFileSync("umount", [request.attachment.netns]);
  expect(existsSync(join(sandboxFolder(paths, sandbox.id), "sock"))).toBe(false);
  expect(
    execFileSync("sh", ["-c", "cat /proc/[0-9]*/mountinfo 2>/dev/null || true"], {
      maxBuffer: 64 << 20,
    }).includes(record.id),
  ).toBe(false);
  expect(execFileSync("sh", ["-c", `find /sys/fs/cgroup -name '${record.id}'`]).toString()).toBe("");
  if (sandbox.supervisor) expect(existsSync(`/proc/${sandbox.supervisor.pid}`)).toBe(false);
}

for (const isolation of isolations)
  describe(isolation, () => {
    const backend = backends[isolation];

    test("facts: probed, one line for people", async () => {
      const facts = await backend.facts();
      expect(facts).toMatchObject({ isolation, usable: true });
      expect(facts.summary).not.toContain("\n");
      expect(await backend.facts()).toEqual(facts);
    }, 30_000);

    test("refusals: none for a plain configuration", () => {
      expect(backend.refusals(testConfig({ image: "busybox", isolation, command: ["true"] }))).toEqual([]);
    });

    test("a workload's life: start, exec, log, exit record, close", async () => {
      const made = await make(isolation, ["sh", "-c", "echo out; echo data > /kept; read line; exit 7"], {
        openStdin: true,
      });
      const supervisor = await open(made);
      const attached = await supervisor.attach(made.record.id, { stdin: true, stdout: true, stderr: true });
      const { exit } = await start(made, supervisor);
      expect((await supervisor.hello()).workloads).toMatchObject([
        { id: made.record.id, generation: 1, state: "running" },
      ]);
      const { session } = await supervisor.exec(made.record.id, newId(), {
        process: { ...made.planned.oci.process, args: ["sh", "-c", "echo inside; exit 5"] },
        user: "",
        openStdin: false,
      });
      expect(await readSession(session)).toEqual({ status: 5, output: "inside\n" });
      expect((await supervisor.stats(made.record.id)).pids).toBeGreaterThan(0);
      await supervisor.signal(made.record.id, 9);
      expect(await exit).toMatchObject({
        workload: made.record.id,
        generation: 1,
        exitCode: 137,
        oomKilled: false,
      });
      expect(await readSession(attached)).toEqual({ status: 137, output: "out\n" });
      await supervisor.closed;
      expect(JSON.parse(readFileSync(exitFile(paths, made.record.id), "utf8"))).toMatchObject({
        exitCode: 137,
        generation: 1,
      });
      expect(JSON.parse(readFileSync(logFile(paths, made.record.id), "utf8"))).toMatchObject({
        log: "out\n",
        stream: "stdout",
      });

      // At rest its files are reached through the same backend.
      const { supervisor: _, ...closed } = made.sandbox;
      const parts: Buffer[] = [];
      await backend.withFiles({ ...made.request, sandbox: closed }, async (files) => {
        expect(await files.stat(made.record.id, "/kept")).toMatchObject({ name: "kept", size: 5 });
        for await (const part of (await files.readArchive(made.record.id, "/kept")).tar)
          parts.push(Buffer.from(part));
      });
      expect(execFileSync("tar", ["-xOf", "-"], { input: Buffer.concat(parts) }).toString()).toBe("data\n");
      await gone(made);
    }, 60_000);

    test("a supervisor is found again, and its events come", async () => {
      const made = await make(isolation, ["sleep", "300"]);
      const first = await open(made);
      await start(made, first);
      first.disconnect();
      const again = (await supervisors.connect(sandboxFolder(paths, made.sandbox.id)))!;
      expect({ pid: again.pid, startTime: again.startTime }).toEqual({
        pid: first.pid,
        startTime: first.startTime,
      });
      const exit = new Promise<ExitRecord>((done) =>
        again.onEvent((event) => {
          if (event.event === "exit") done(event);
        }),
      );
      await again.pause(made.record.id);
      expect((await again.hello()).workloads[0]).toMatchObject({ state: "paused" });
      await again.resume(made.record.id);
      await again.signal(made.record.id, 9);
      expect((await exit).exitCode).toBe(137);
      await again.closed;
      await gone(made);
    }, 60_000);

    test("close undoes from the record alone what a killed supervisor left", async () => {
      const made = await make(isolation, ["sleep", "300"]);
      const supervisor = await open(made);
      await start(made, supervisor);
      process.kill(supervisor.pid, "SIGKILL");
      await supervisor.closed;
      await gone(made);
    }, 60_000);

    test("a sandbox without a workload closes in order", async () => {
      const made = await make(isolation, ["true"]);
      const supervisor = await open(made);
      expect((await supervisor.hello()).workloads).toEqual([]);
      await supervisor.shutdown(10_000);
      await gone(made);
    }, 60_000);

    test("a command that is not there: 127, and nothing is left", async () => {
      const made = await make(isolation, ["no-such-command"]);
      const supervisor = await open(made);
      const failed = await start(made, supervisor).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(failed).toMatchObject({ exitStatus: 127 });
      await gone(made);
    }, 60_000);
  });
