import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Failpoint, failpoints, failpointVictims } from "../../src/engine/failpoint.ts";
import type { Isolation } from "../../src/model/isolation.ts";
import { TestEngine } from "../lib/engine.ts";
import { type Snapshot, settle, snapshot } from "../lib/oracle.ts";

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

/** Points where a supervisor exists. */
const withSupervisor =
  /^start\.after-(open|supervisor|attach|start|running)$|^stop\.after-(intent|signal|exit|network|record)$/;

/**
 * Kills each victim at every failpoint; afterwards the instance is fully running, fully gone, at rest, or visibly
 * `broken`; whatever it is, `rm -f` takes it away and the oracle finds nothing left.
 */
export function killTable(wall: Isolation): void {
  const engine = new TestEngine({ failpoints: true });
  let before: Snapshot;
  const scope = () => ({ ...engine.scope, restarts: true });

  beforeAll(async () => {
    await engine.start();
    await engine.ok("image", "bootstrap", "busybox");
    await engine.ok("run", "--rm", "--isolation", wall, "busybox", "true");
    before = snapshot(scope());
  }, 120_000);
  afterAll(() => engine[Symbol.asyncDispose](), 60_000);

  for (const victim of failpointVictims) {
    if (victim === "qemu" && wall !== "vm") continue;
    for (const point of failpoints) {
      if (victim !== "engine" && !withSupervisor.test(point)) continue;
      test(`${victim} killed at ${point}`, async () => {
        await engine.end("SIGTERM");
        await engine.start({ GANTRY_FAILPOINT: `${point}=${victim}` });
        const name = `f-${victim}-${point.replace(".", "-")}`;
        await strike(engine, wall, point, name);
        if (victim === "engine") expect(await engine.ended(10_000)).toBe(true);
        // After the workload's end the supervisor leaves by itself, and may be faster.
        if (victim === "engine" || !/^stop\.after-(exit|network|record)$/.test(point))
          expect(engine.log()).toContain(`failpoint ${point}: killing ${victim} `);
        await engine.end("SIGTERM");
        await engine.start();

        const found = await engine.cli("inspect", name);
        if (found.status === 0) {
          const { Status } = JSON.parse(found.stdout)[0].State as { Status: string };
          expect(["created", "running", "exited", "dead"]).toContain(Status);
          if (Status === "running") expect(await engine.ok("exec", name, "echo", "alive")).toBe("alive");
          if (Status === "exited" || Status === "created") {
            await engine.ok("start", name);
            expect(await engine.ok("exec", name, "echo", "again")).toBe("again");
          }
          await engine.ok("rm", "-f", "-v", name);
        }
        const volumes = (await engine.ok("volume", "ls", "-q")).split("\n").filter(Boolean);
        if (volumes.length > 0) await engine.ok("volume", "rm", ...volumes);
        expect(await settle(before, scope(), 15_000)).toEqual([]);
      }, 120_000);
    }
  }
}
