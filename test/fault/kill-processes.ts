import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Isolation } from "../../src/model/isolation.ts";
import { eventually, type Result, TestEngine } from "../lib/engine.ts";
import { childrenOf } from "../lib/processes.ts";

type Victim = "supervisor" | "qemu" | "virtiofsd" | "workload";

/** What an instance is about when it is struck. */
const moments = ["running", "paused", "exec"] as const;

/** Where a slow machine still counts as working. */
const patience = 60_000;

/** Kills processes of instances at rest, paused and in an exec: each is an exit that is seen, and nothing is left of it. */
export function killProcesses(wall: Isolation): void {
  const engine = new TestEngine();
  let shared: string;
  beforeAll(async () => {
    await engine.start();
    await engine.ok("image", "bootstrap", "busybox");
    await engine.ok("run", "--rm", "--isolation", wall, "busybox", "true");
    shared = engine.base;
  }, 120_000);
  afterAll(() => engine[Symbol.asyncDispose](), 120_000);

  const look = async (name: string) =>
    JSON.parse(await engine.ok("inspect", name))[0] as {
      SupervisorPid: number;
      State: { Status: string; ExitCode: number; Error: string; Pid: number };
    };

  const pidOf = async (victim: Victim, name: string): Promise<number> => {
    const { SupervisorPid, State } = await look(name);
    if (victim === "supervisor") return SupervisorPid;
    if (victim === "workload") return State.Pid;
    const found = childrenOf(SupervisorPid).find((pid) => comm(pid).startsWith(victim));
    if (found === undefined) throw new Error(`the supervisor of ${name} has no ${victim}`);
    return found;
  };

  const victims: Victim[] = wall === "vm" ? ["supervisor", "qemu", "virtiofsd"] : ["supervisor", "workload"];
  for (const victim of victims)
    for (const moment of moments) {
      if (victim === "workload" && moment === "paused") continue; // the frozen die when they are thawed
      test(
        `${victim} killed while ${moment}`,
        async () => {
          const before = engine.baseline();
          const name = `k-${victim}-${moment}`;
          const share = ["-v", `${shared}:/shared:ro`, "-p", "127.0.0.1::80"];
          await engine.ok(
            "run",
            "-d",
            "--isolation",
            wall,
            "--name",
            name,
            ...share,
            "busybox",
            "sleep",
            "1000",
          );
          let exec: Promise<Result> | undefined;
          if (moment === "paused") await engine.ok("pause", name);
          if (moment === "exec") {
            const said = `${name} is in`;
            const ready = Promise.withResolvers<void>();
            exec = engine.cliWith(
              { timeout: 2 * patience, onOutput: (text) => text.includes(said) && ready.resolve() },
              "exec",
              name,
              "sh",
              "-c",
              `echo ${said}; sleep 1000`,
            );
            await Promise.race([ready.promise, exec.then(({ stderr }) => ready.reject(new Error(stderr)))]);
            await ready.promise;
          }

          process.kill(await pidOf(victim, name), "SIGKILL");

          await eventually("the exit", async () => (await look(name)).State.Status === "exited", patience);
          const { State } = await look(name);
          expect(State).toMatchObject({ ExitCode: 137, Pid: 0 });
          if (victim !== "workload")
            expect(State.Error).toMatch(/supervisor died|QEMU was killed|virtiofsd ended/);
          if (exec) expect((await exec).status).toBe(137);
          await engine.ok("start", name);
          expect(await engine.ok("exec", name, "echo", "again")).toBe("again");
          await engine.ok("rm", "-f", name);
          expect(await engine.leaks(before, 15_000)).toEqual([]);
        },
        4 * patience,
      );
    }
}

const comm = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8");
  } catch {
    return ""; // gone meanwhile
  }
};
