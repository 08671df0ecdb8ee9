import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Failpoint, failpoints, failpointVictims } from "../../src/engine/failpoint.ts";
import type { Isolation } from "../../src/model/isolation.ts";
import { TestEngine } from "../lib/engine.ts";
import type { Snapshot } from "../lib/oracle.ts";

/** Brings the instance `name` to where the failpoint's verb begins, and runs the verb. Failures are expected. */
async function strike(engine: TestEngine, wall: Isolation, point: Failpoint, name: string): Promise<void> {
  const verb = point.split(".")[0]!;
  const created = await engine.cli(
    "create",
    "--isolation",
    wall,
    "--name",
    name,
    "-v",
    "/data",
    "-p",
    "127.0.0.1::80",
    "busybox",
    "sleep",
    "300",
  );
  if (verb === "create" || created.status !== 0) return;
  const started = await engine.cli("start", name);
  if (verb === "start" || started.status !== 0) return;
  if (verb === "stop") await engine.cli("stop", "-t", "0", name);
  else await engine.cli("rm", "-f", "-v", name);
}

/**
 * Kills each victim at every failpoint; afterwards the instance is fully running, fully gone, at rest, or visibly
 * `broken`; whatever it is, `rm -f` takes it away and the oracle finds nothing left.
 */
export function killTable(wall: Isolation): void {
  const engine = new TestEngine({ failpoints: true });
  let before: Snapshot;
  /** Without open files: the daemon is another one each time. */
  const scope = () => ({ root: engine.root, run: engine.run, tag: engine.tag });

  beforeAll(async () => {
    await engine.start();
    await engine.ok("image", "bootstrap", "busybox");
    await engine.ok("run", "--rm", "--isolation", wall, "busybox", "true");
    const { snapshot } = await import("../lib/oracle.ts");
    before = snapshot({ ...scope(), daemon: undefined });
    before.processes = before.processes.filter((line) => !line.includes("gantry daemon"));
  }, 120_000);
  afterAll(() => engine[Symbol.asyncDispose](), 60_000);

  for (const victim of failpointVictims) {
    if (victim === "qemu" && wall !== "vm") continue;
    for (const point of failpoints) {
      // A supervisor exists only from its opening to its close.
      if (
        victim !== "engine" &&
        (point.startsWith("create.") ||
          /^start\.after-(intent|layer|volumes|network|attachment)$/.test(point))
      )
        continue;
      test(`${victim} killed at ${point}`, async () => {
        await engine.end("SIGTERM");
        await engine.start({ GANTRY_FAILPOINT: `${point}=${victim}` });
        const name = `f-${victim}-${point.replace(".", "-")}`;
        await strike(engine, wall, point, name);
        if (victim === "engine") expect(await engine.ended(10_000)).toBe(true);
        await engine.end("SIGTERM");
        await engine.start();

        const found = await engine.cli("inspect", name);
        if (found.status === 0) {
          const { Status } = JSON.parse(found.stdout)[0].State as { Status: string };
          expect(["created", "running", "exited", "broken"]).toContain(Status);
          if (Status === "running") expect(await engine.ok("exec", name, "echo", "alive")).toBe("alive");
          if (Status === "exited" || Status === "created") {
            await engine.ok("start", name);
            expect(await engine.ok("exec", name, "echo", "again")).toBe("again");
          }
          await engine.ok("rm", "-f", "-v", name);
        }
        const volumes = (await engine.ok("volume", "ls", "-q")).split("\n").filter(Boolean);
        if (volumes.length > 0) await engine.ok("volume", "rm", ...volumes);
        const { settle } = await import("../lib/oracle.ts");
        const now = await settle(before, scope(), 5000);
        expect(now.filter((line) => !line.includes("gantry daemon"))).toEqual([]);
      }, 120_000);
    }
  }
}
