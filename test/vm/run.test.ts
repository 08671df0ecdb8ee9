import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { encodeFrame, FrameType } from "../../src/lib/frame.ts";
import { sandboxFolder } from "../../src/lib/paths.ts";
import type { Session } from "../../src/ports/supervisor.ts";
import { Bed, cgroupsOf, processesWith, readSession } from "./bed.ts";

let bed: Bed;
beforeAll(() => {
  bed = new Bed();
});
afterAll(() => bed[Symbol.asyncDispose]());

test("a workload runs in a VM with input, output, exit code and log, and nothing is left behind", async () => {
  const made = bed.record(["sh", "-c", "cat; echo to-stderr >&2; uname -r; hostname; exit 42"], {
    openStdin: true,
    stdinOnce: true,
    hostname: "vm-one",
  });
  let session: Session | undefined;
  const running = await bed.start(made, undefined, async (supervisor) => {
    session = await supervisor.attach(made.record.id, { stdin: true, stdout: true, stderr: true });
    session.write(encodeFrame(FrameType.stdin, Buffer.from("early ")));
  });
  const { pid } = running.supervisor;
  const qemu = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0]!;

  // How QEMU is confined.
  const status = readFileSync(`/proc/${qemu}/status`, "utf8");
  const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(status)?.[1];
  expect(field("Uid")).toBe(Array(4).fill(made.sandbox.uid).join("\t"));
  expect(field("Gid")).toBe(Array(4).fill(made.sandbox.uid).join("\t"));
  expect(field("Groups")?.trim()).toBe("");
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) expect(field(set)).toMatch(/^0+$/);
  expect(field("NoNewPrivs")).toBe("1");
  expect(field("Seccomp")).toBe("2");
  const mounts = readFileSync(`/proc/${qemu}/mountinfo`, "utf8").trim().split("\n");
  for (const line of mounts) expect(line.split(" ")[5]).toMatch(/^ro,/);
  expect(existsSync(`/proc/${qemu}/root/var`)).toBe(false);
  expect(
    readFileSync(`/proc/${qemu}/net/dev`, "utf8")
      .split("\n")
      .filter((line) => line.includes(":")),
  ).toHaveLength(1);
  expect(readFileSync(`/proc/${qemu}/cgroup`, "utf8")).toContain(
    `/gantry/${bed.paths.tag}/${made.record.id}`,
  );
  expect(cgroupsOf(bed.paths.tag).length).toBeGreaterThan(0);

  // While it runs: a process beside it, usage, files.
  const beside = await running.shell("id -u; cat /proc/1/cmdline | tr '\\0' ' '; exit 7");
  expect(beside.status).toBe(7);
  expect(beside.output).toStartWith("0\n");
  const stats = await running.supervisor.stats(made.record.id);
  expect(stats.pids).toBeGreaterThanOrEqual(1);
  expect(stats.memoryLimit).toBe(96 << 20);
  expect((await running.supervisor.stat(made.record.id, "/etc/passwd")).size).toBeGreaterThan(10);
  const hello = await running.supervisor.hello();
  expect(hello.workloads[0]).toMatchObject({ id: made.record.id, state: "running" });
  expect(hello.bootMs).toBeGreaterThan(100);

  session!.end(
    Buffer.concat([encodeFrame(FrameType.stdin, Buffer.from("and late\n")), encodeFrame(FrameType.stdinEnd)]),
  );
  const release = JSON.parse(readFileSync(`${bed.paths.libexec}/guest/manifest.json`, "utf8")).release;
  const { status: code, output } = await readSession(session!);
  expect(code).toBe(42);
  expect(output).toContain("early and late\n");
  expect(output).toContain("to-stderr\n");
  expect(output).toContain(`${release}\nvm-one\n`);
  expect(await running.exit).toMatchObject({ exitCode: 42, generation: 1, oomKilled: false });
  await running.supervisor.closed;
  expect(bed.exitRecord(made.record)).toMatchObject({ exitCode: 42, workload: made.record.id });
  expect(bed.log(made.record)).toContain("to-stderr\n");

  await bed.backend.close(made.sandbox);
  await bed.backend.close(made.sandbox);
  expect(processesWith(made.record.id)).toEqual([]);
  expect(cgroupsOf(bed.paths.tag)).toEqual([]);
  expect(existsSync(sandboxFolder(bed.paths, made.sandbox.id))).toBe(false);
}, 120_000);

test("the writable layer survives the death of QEMU, and is reached when the VM is stopped", async () => {
  const made = bed.record(["sleep", "1000"]);
  const first = await bed.start(made);
  expect((await first.shell("echo kept > /kept; mkdir -p /opt/x; sync")).status).toBe(0);
  const { pid } = first.supervisor;
  const qemu = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0]);
  process.kill(qemu, "SIGKILL");
  const exit = await first.exit;
  expect(exit.exitCode).toBe(137);
  expect(bed.exitRecord(made.record)).toMatchObject({ exitCode: 137, reason: "QEMU was killed by signal 9" });
  await first.supervisor.closed;
  await bed.backend.close(made.sandbox);
  expect(processesWith(made.record.id)).toEqual([]);

  const content = await bed.withFiles(made, async (files) => {
    const { stat, tar } = await files.readArchive(made.record.id, "/kept");
    expect(stat.size).toBe(5);
    const parts: Uint8Array[] = [];
    for await (const part of tar) parts.push(part);
    return Buffer.concat(parts).toString("latin1");
  });
  expect(content).toContain("kept\n");

  made.record.generation = 2;
  made.record.config.command = ["sh", "-c", "cat /kept; test -d /opt/x"];
  const second = await bed.start(made);
  expect(await second.exit).toMatchObject({ exitCode: 0, generation: 2 });
  expect(bed.log(made.record)).toContain("kept\n");
}, 120_000);
