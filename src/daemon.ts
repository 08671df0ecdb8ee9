import { chmodSync, mkdirSync, rmdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { createServer } from "./api/native/server.ts";
import { createEngine, type RunningEngine } from "./engine/engine.ts";
import { checkFailpoints } from "./engine/failpoint.ts";
import { imageUsage } from "./engine/gc.ts";
import { createImages } from "./image/index.ts";
import { createContainerBackend } from "./isolation/container/index.ts";
import { createVmBackend } from "./isolation/vm/index.ts";
import { removeCgroup } from "./lib/cgroup.ts";
import { instanceFolder, type Paths, sandboxFolder } from "./lib/paths.ts";
import { version } from "./lib/version.ts";
import { GantryError } from "./model/errors.ts";
import { createNetwork } from "./network/index.ts";
import type { IsolationBackend } from "./ports/isolation.ts";
import type { Network } from "./ports/network.ts";
import type { State } from "./ports/state.ts";
import { lockRoot } from "./state/lock.ts";
import { checkState, openState } from "./state/state.ts";
import { createSupervisors } from "./supervisor/index.ts";
import { createVolumes } from "./volume/index.ts";

export interface DaemonOptions {
  /** Take bridge, rules and run folder away and end, instead of serving. Refused while instances are alive. */
  cleanUp?: boolean;
}

/** An engine with its rooms, not yet reconciled. */
export interface OpenEngine extends Pick<RunningEngine, "engine" | "reconcile"> {
  state: State;
  network: Network;
  container: IsolationBackend;
  /** Lets go of the root; instances go on. */
  close(): Promise<void>;
}

/**
 * The engine's process, from taking its root to SIGTERM or SIGINT, which leave the instances running.
 * Throws `denied` without root, `conflict` when another engine has the root.
 */
export async function runDaemon(paths: Paths, options: DaemonOptions = {}): Promise<void> {
  if (process.getuid?.() !== 0) throw new GantryError("denied", "the engine needs root: start it with sudo");
  checkFailpoints();
  const open = openEngine(paths);
  try {
    await open.reconcile();
    if (options.cleanUp) await cleanUp(paths, open);
    else await serve(paths, open);
  } finally {
    await open.close();
  }
}

/** Takes the root and makes every room, giving each what it needs of the others: the only place where they meet. */
export function openEngine(paths: Paths): OpenEngine {
  makeFolders(paths);
  const lock = lockRoot(paths.root);
  const state = openState(paths.root);
  const supervisors = createSupervisors({ paths });
  const images = createImages({ paths, supervisors, usage: () => imageUsage(state) });
  const network = createNetwork({
    paths,
    settings: { get: (key) => state.setting(key), set: (key, value) => state.setSetting(key, value) },
  });
  const container = createContainerBackend({ paths, supervisors });
  const running = createEngine({
    paths,
    state,
    images,
    volumes: createVolumes({ paths }),
    network,
    supervisors,
    backends: { container, vm: createVmBackend({ paths, supervisors }) },
    version,
    checkState: () => checkState(paths.root),
  });
  return {
    engine: running.engine,
    reconcile: running.reconcile,
    state,
    network,
    container,
    async close() {
      await running.close();
      await network.stop();
      state.close();
      lock.release();
    },
  };
}

/** The API from here to the end signal. */
async function serve(paths: Paths, { engine, container }: OpenEngine): Promise<void> {
  const server = createServer({ engine, paths });
  const ended = Promise.withResolvers<string>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => ended.resolve(signal));
  // One connection's trouble must not end the engine for all others.
  process.on("unhandledRejection", (reason) => console.error("gantry: unhandled:", reason));
  process.on("uncaughtException", (error) => console.error("gantry: uncaught:", error));
  await server.listen();
  console.error(`gantry ${version}: serving ${paths.socket}, root ${paths.root}, pid ${process.pid}`);
  // Which runtime works is found out beside the first requests. Whether KVM does costs seconds: only when asked for.
  container.facts().catch((error: Error) => console.error(`gantry: probing: ${error.message}`));
  const signal = await ended.promise;
  console.error(`gantry: ${signal}: leaving; instances go on`);
  await server.close();
}

async function cleanUp(paths: Paths, { state, network }: OpenEngine): Promise<void> {
  const alive = state.instances
    .all()
    .filter((record) => ["running", "paused", "stopping"].includes(record.state));
  if (alive.length > 0)
    throw new GantryError(
      "conflict",
      `${alive.length} instances are alive (${alive.map((record) => record.name).join(", ")}); stop them first`,
    );
  await network.teardown();
  await removeCgroup(`/gantry/${paths.tag}`);
  // Only what is ours: the run folder may be one that others use as well.
  for (const ours of ["sandboxes", "netns", "gantry.sock"])
    rmSync(join(paths.run, ours), { recursive: true, force: true });
  try {
    rmdirSync(paths.run);
  } catch (error) {
    if (!["ENOTEMPTY", "EBUSY", "ENOENT"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}

/**
 * The root is for root alone, down from its top: writable layers and volumes hold setuid programs of hostile
 * workloads, and a sandbox's id, which is part of the path, stands in the world-readable /proc/PID/cgroup.
 * A QEMU's user reaches nothing by path.
 */
function makeFolders(paths: Paths): void {
  process.umask(0o022);
  const folders: [path: string, mode: number][] = [
    [paths.root, 0o700],
    [paths.run, 0o755],
    [dirname(instanceFolder(paths, "x")), 0o700],
    [dirname(sandboxFolder(paths, "x")), 0o700],
  ];
  for (const [path, mode] of folders) {
    try {
      mkdirSync(path, { recursive: true, mode });
      chmodSync(path, mode);
    } catch (error) {
      throw new GantryError(
        "unavailable",
        `${path} cannot be made: ${(error as Error).message}; choose another with --root and --run`,
        { cause: error },
      );
    }
  }
}
