import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect } from "node:net";
import { eventually, TestEngine } from "../lib/engine.ts";

// The engine is killed by SIGKILL: what runs goes on, and the next engine takes it over.
const engine = new TestEngine();
beforeAll(async () => {
  await engine.start();
  await engine.ok("image", "bootstrap", "busybox");
}, 60_000);
afterAll(() => engine[Symbol.asyncDispose](), 120_000);

const crash = async () => {
  await engine.end("SIGKILL");
  await engine.start();
};
const state = async (name: string) =>
  JSON.parse(await engine.ok("inspect", name))[0].State as Record<string, unknown>;

const ask = (port: number): Promise<string> =>
  new Promise((done) => {
    let text = "";
    const socket = connect({ host: "127.0.0.1", port }, () => {});
    socket.setTimeout(2000, () => socket.destroy());
    socket.on("data", (part) => {
      text += part;
    });
    socket.on("error", () => {});
    socket.on("close", () => done(text));
  });

for (const wall of ["container", "vm"]) {
  test(`${wall}: logs, published ports, names and exec across a crash`, async () => {
    await engine.ok(
      "run",
      "-d",
      "--isolation",
      wall,
      "--name",
      `a-${wall}`,
      "-p",
      "127.0.0.1::80",
      "busybox",
      "sh",
      "-c",
      "(while :; do date +%s%N; sleep 0.1; done) & while :; do echo served | nc -l -p 80; done",
    );
    const port = Number(/:(\d+)/.exec(await engine.ok("port", `a-${wall}`))![1]);
    await eventually("the service", async () => (await ask(port)) === "served\n", 60_000, 200);
    const { Pid } = await state(`a-${wall}`);
    await engine.end("SIGKILL");
    // No engine: forwarding and logs go on.
    await eventually(
      "the service without an engine",
      async () => (await ask(port)) === "served\n",
      30_000,
      200,
    );
    await Bun.sleep(4000);
    await engine.start();
    expect(await state(`a-${wall}`)).toMatchObject({ Status: "running", Pid });
    expect(await engine.ok("exec", `a-${wall}`, "echo", "here")).toBe("here");
    const stamps = (await engine.ok("logs", `a-${wall}`))
      .split("\n")
      .filter((line) => /^\d{19}$/.test(line))
      .map((line) => Number(line) / 1e9);
    const gaps = stamps.slice(1).map((stamp, at) => stamp - stamps[at]!);
    // Nothing was lost while there was no engine, which was longer than this.
    expect(Math.max(...gaps)).toBeLessThan(3.5);
    await eventually(
      "names",
      async () => (await engine.cli("exec", `a-${wall}`, "nslookup", `a-${wall}`)).status === 0,
      30_000,
      100,
    );
    await engine.ok("rm", "-f", `a-${wall}`);
  }, 300_000);

  test(`${wall}: an exit that happened meanwhile is reported with its code, --rm and restart policies are kept`, async () => {
    await engine.ok(
      "run",
      "-d",
      "--isolation",
      wall,
      "--name",
      `b-${wall}`,
      "busybox",
      "sh",
      "-c",
      "sleep 1; exit 42",
    );
    await engine.ok("run", "-d", "--isolation", wall, "--name", `c-${wall}`, "--rm", "busybox", "sleep", "1");
    await engine.ok(
      "run",
      "-d",
      "--isolation",
      wall,
      "--name",
      `d-${wall}`,
      "--restart",
      "always",
      "busybox",
      "sleep",
      "2",
    );
    await engine.end("SIGKILL");
    await Bun.sleep(5000);
    await engine.start();
    await eventually("the exit", async () => (await state(`b-${wall}`)).Status === "exited", 60_000);
    expect(await state(`b-${wall}`)).toMatchObject({ Status: "exited", ExitCode: 42 });
    await eventually(
      "the removal",
      async () => (await engine.cli("inspect", `c-${wall}`)).status === 1,
      30_000,
    );
    await eventually("the restart", async () => (await state(`d-${wall}`)).Status === "running", 60_000);
    await engine.ok("rm", "-f", `b-${wall}`, `d-${wall}`);
  }, 300_000);

  test(`${wall}: a supervisor killed by SIGKILL is an exit with 137 and nothing is left`, async () => {
    const before = engine.baseline();
    await engine.ok("run", "-d", "--isolation", wall, "--name", `e-${wall}`, "busybox", "sleep", "300");
    const supervisor = JSON.parse(await engine.ok("inspect", `e-${wall}`))[0].SupervisorPid as number;
    process.kill(supervisor, "SIGKILL");
    await eventually("the exit", async () => (await state(`e-${wall}`)).Status === "exited", 60_000);
    expect((await state(`e-${wall}`)).ExitCode).toBe(137);
    await engine.ok("rm", `e-${wall}`);
    expect(await engine.leaks(before, 15_000)).toEqual([]);
  }, 300_000);
}

test("50 instances live through an engine kill with the same pids", async () => {
  const names = Array.from({ length: 50 }, (_, at) => `many-${at}`);
  for (let at = 0; at < names.length; at += 5)
    await Promise.all(
      names
        .slice(at, at + 5)
        .map((name) => engine.ok("run", "-d", "--name", name, "busybox", "sleep", "600")),
    );
  const pids = async () =>
    Object.fromEntries(await Promise.all(names.map(async (name) => [name, (await state(name)).Pid])));
  const before = await pids();
  await engine.end("SIGKILL");
  const began = Date.now();
  await engine.start();
  const took = Date.now() - began;
  expect(await pids()).toEqual(before);
  for (const name of names) expect(await engine.ok("exec", name, "echo", name)).toBe(name);
  expect(took).toBeLessThan(20_000); // adoption is side by side: one after another with time-outs takes minutes
  console.log(`adopted 50 instances in ${took} ms`);
  await engine.ok("rm", "-f", ...names);
}, 300_000);

test("a second engine on the same root is refused", async () => {
  const second = await engine.cli("daemon");
  expect(second.status).not.toBe(0);
  expect(second.stderr).toContain(engine.root);
});

test("a release build refuses failpoints", async () => {
  const other = new TestEngine();
  const refused = await other.cliWith({ env: { GANTRY_FAILPOINT: "start.after-intent" } }, "daemon");
  expect(refused.status).not.toBe(0);
  expect(refused.stderr).toContain("GANTRY_FAILPOINT");
  await other[Symbol.asyncDispose]();
});

test("crash again and again: adoption is repeatable", async () => {
  await engine.ok("run", "-d", "--name", "steady", "busybox", "sleep", "300");
  const { Pid } = await state("steady");
  for (let round = 0; round < 5; round++) await crash();
  expect((await state("steady")).Pid).toBe(Pid!);
  await engine.ok("rm", "-f", "steady");
}, 60_000);
