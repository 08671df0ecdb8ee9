import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type OpenEngine, openEngine } from "../../src/daemon.ts";
import { testConfig } from "../../src/engine/plan/plan.fixture.ts";
import { removeCgroup } from "../../src/lib/cgroup.ts";
import { FrameDecoder, FrameType } from "../../src/lib/frame.ts";
import { type Paths, resolvePaths } from "../../src/lib/paths.ts";
import type { InstanceConfig } from "../../src/model/instance.ts";
import type { Engine } from "../../src/ports/engine.ts";
import type { Session } from "../../src/ports/supervisor.ts";

export const project = "default";

/** An engine over the real rooms in this very process, with a root of its own. */
export class Bed implements AsyncDisposable {
  readonly base = mkdtempSync(join(tmpdir(), "ge-"));
  readonly paths: Paths = {
    ...resolvePaths({ root: join(this.base, "root"), run: join(this.base, "run") }),
    libexec: join(import.meta.dir, "../../build"),
  };
  open!: OpenEngine;

  static async make(): Promise<Bed> {
    const bed = new Bed();
    await bed.begin();
    await bed.engine.images.bootstrap(project, { distribution: "busybox", include: [] });
    return bed;
  }

  get engine(): Engine {
    return this.open.engine;
  }

  async begin(): Promise<void> {
    this.open = openEngine(this.paths);
    await this.open.reconcile();
  }

  /** Another engine takes over: what the first held in memory is gone. */
  async again(meanwhile: () => Promise<void> = async () => {}): Promise<void> {
    await this.open.close();
    await meanwhile();
    await this.begin();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { id } of await this.engine.list(project, { all: true, filters: {} }))
      await this.engine.remove(project, id, { force: true, volumes: true });
    await this.open.network.teardown();
    await this.open.close();
    await removeCgroup(`/gantry/${this.paths.tag}`);
    rmSync(this.base, { recursive: true, force: true });
  }
}

export const config = (command: string[], own: Partial<InstanceConfig> = {}): InstanceConfig =>
  testConfig({ image: "busybox", command, ...own });

/** Reads a session to its exit frame. */
export async function finish(
  session: Session,
): Promise<{ stdout: string; stderr: string; exitCode?: number }> {
  const decoder = new FrameDecoder();
  const result: { stdout: string; stderr: string; exitCode?: number } = { stdout: "", stderr: "" };
  for await (const chunk of session)
    for (const { type, payload } of decoder.push(chunk as Buffer)) {
      if (type === FrameType.stdout) result.stdout += payload.toString();
      if (type === FrameType.stderr) result.stderr += payload.toString();
      if (type === FrameType.exit) result.exitCode = payload.readInt32LE(0);
    }
  return result;
}

/** Runs to the end attached, as a client does: create, attach, start, read. */
export async function run(
  engine: Engine,
  command: string[],
  own: Partial<InstanceConfig> = {},
): Promise<{ stdout: string; stderr: string; exitCode?: number; id: string }> {
  const { id } = await engine.create(project, undefined, config(command, own));
  const session = await engine.attach(project, id, { stdin: false, stdout: true, stderr: true });
  const output = finish(session);
  await engine.start(project, id);
  return { ...(await output), id };
}

export async function logText(engine: Engine, id: string): Promise<string> {
  const lines = engine.logs(
    project,
    id,
    { follow: false, stdout: true, stderr: true },
    new AbortController().signal,
  );
  let text = "";
  for await (const line of lines) text += Buffer.from(line.data).toString();
  return text;
}

/** Polls until `probe` is true; throws with `what` after `patience` ms. */
export async function eventually(
  what: string,
  probe: () => Promise<boolean>,
  patience = 10_000,
): Promise<void> {
  for (const until = Date.now() + patience; !(await probe()); await Bun.sleep(20))
    if (Date.now() > until) throw new Error(`${what} did not happen within ${patience} ms`);
}
