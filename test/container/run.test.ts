import { afterAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { ContainerBench, collect, send } from "./bench.ts";

const bench = new ContainerBench();
afterAll(() => bench[Symbol.asyncDispose]());
const sh = (script: string) => ["sh", "-c", script];

test("exit statuses are those of the process", async () => {
  expect((await bench.run(["true"])).status).toBe(0);
  expect((await bench.run(["false"])).status).toBe(1);
  expect((await bench.run(sh("exit 42"))).status).toBe(42);
});

test("what cannot be executed gives 127 or 126", async () => {
  const attempt = async (command: string[]) => {
    const box = await bench.make({ command });
    await box.open();
    return await box.start().then(
      () => "it started",
      (error: { exitStatus?: number }) => error.exitStatus,
    );
  };
  expect(await attempt(["/bin/nosuch"])).toBe(127);
  expect(await attempt(["nosuch"])).toBe(127);
  expect(await attempt(["/etc/plain"])).toBe(126);
  expect(await attempt(["/etc"])).toBe(126);
});

test("a file that is no program ends with 126", async () => {
  expect((await bench.run(["/bin/garbage"])).status).toBe(126);
});

test("signals from outside reach the first process", async () => {
  for (const [signal, status] of [
    [9, 137],
    [15, 143],
  ] as const) {
    const box = await bench.up(sh("trap 'exit 143' TERM; echo up; while :; do sleep 0.05; done"));
    const session = await box.attach();
    const outcome = collect(session);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await box.supervisor.signal(box.id, signal);
    expect((await outcome).status).toBe(status);
    expect((await box.ended()).exitCode).toBe(status);
    await box.close();
  }
});

test("a workload over its memory limit is killed and says so", async () => {
  const events: string[] = [];
  const box = await bench.make({
    command: ["sh", "-c", "exec tail /dev/zero"],
    limits: { memory: 16 << 20 },
  });
  await box.open();
  box.supervisor.onEvent((event) => events.push(event.event));
  const outcome = collect(await box.attach());
  await box.start();
  expect(await outcome).toMatchObject({ status: 137, oom: true });
  expect(await box.ended()).toMatchObject({
    exitCode: 137,
    oomKilled: true,
    generation: 1,
    workload: box.id,
  });
  expect(events).toEqual(["oom", "exit", "closing"]);
  await box.close();
});

test("input ends for the process when the client ends it, and output still comes", async () => {
  const { stdout, status } = await bench.run(sh("cat; echo after"), {}, "one\ntwo\n");
  expect(stdout.toString()).toBe("one\ntwo\nafter\n");
  expect(status).toBe(0);
});

test("ten million bytes pass through attach both ways unchanged", async () => {
  const data = randomBytes(10_000_000);
  const box = await bench.make({ command: ["cat"], openStdin: true, stdinOnce: true });
  await box.open();
  const session = await box.attach();
  const outcome = collect(session);
  await box.start();
  send(session, data);
  const { stdout, status } = await outcome;
  expect(status).toBe(0);
  expect(stdout.length).toBe(data.length);
  expect(stdout.equals(data)).toBe(true);
  await box.close();
}, 20_000);

test("without -i the input is empty, and standard error is a stream of its own", async () => {
  const { stdout, stderr, status } = await bench.run(sh("cat; echo out; echo err >&2"));
  expect([stdout.toString(), stderr.toString(), status]).toEqual(["out\n", "err\n", 0]);
});

test("the last output before the exit is never lost", async () => {
  for (let i = 0; i < 3; i++) {
    const { stdout } = await bench.run(["sh", "-c", "head -c 300000 /dev/zero; echo end"]);
    expect(stdout.length).toBe(300_004);
    expect(stdout.subarray(-4).toString()).toBe("end\n");
  }
});

test("user, groups, home and working folder", async () => {
  const show = sh("id -u; id -g; id -G; echo $HOME; pwd");
  const lines = async (own: object) => (await bench.run(show, own)).stdout.toString().trim().split("\n");
  expect(await lines({})).toEqual(["0", "0", "0", "/root", "/"]);
  expect(await lines({ user: "alice", workdir: "/made/here" })).toEqual([
    "1000",
    "1000",
    "1000 50",
    "/home/alice",
    "/made/here",
  ]);
  expect(await lines({ user: "1234:56" })).toEqual(["1234", "56", "56", "/", "/"]);
  expect(await lines({ user: "alice:staff", env: ["HOME=/x"] })).toEqual(["1000", "50", "50", "/x", "/"]);
  await expect(bench.run(show, { user: "nobody-here" })).rejects.toThrow("unable to find user nobody-here");
});

test("a read-only root file system, and provided files", async () => {
  const { stdout, status } = await bench.run(sh("cat /etc/hostname; touch /x 2>/dev/null || echo refused"), {
    hostname: "box-1",
    readOnlyRootfs: true,
  });
  expect(stdout.toString()).toBe("box-1\nrefused\n");
  expect(status).toBe(0);
});

test("the filter holds in the first process and in an exec", async () => {
  const box = await bench.up(sh("dd if=/dev/zero of=/tmp/x bs=1 count=1 2>/dev/null; sleep 1000"));
  const status = await box.exec(["cat", "/proc/self/status", "/proc/1/status"]);
  const lines = status.stdout.toString().match(/^Seccomp(_filters)?:\t\d$/gm);
  expect(lines).toEqual(["Seccomp:\t2", "Seccomp_filters:\t1", "Seccomp:\t2", "Seccomp_filters:\t1"]);
  // Without capabilities the profile allows no new user namespace and no change of the clock.
  expect((await box.exec(["unshare", "-U", "true"])).status).not.toBe(0);
  const inMain = await bench.run(sh("unshare -U true 2>&1; echo $?"));
  expect(inMain.stdout.toString()).toContain("Operation not permitted");
  await box.close();
});

test("the limits of Docker's default hold", async () => {
  const { stdout } = await bench.run(
    sh("grep -E '^(CapEff|Seccomp):' /proc/self/status; ls -A /proc/acpi 2>&1; cat /proc/kcore | wc -c"),
  );
  expect(stdout.toString()).toContain("CapEff:\t00000000a80425fb");
  expect(stdout.toString()).toContain("Seccomp:\t2");
});
