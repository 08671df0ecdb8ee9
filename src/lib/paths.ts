import { createHash } from "node:crypto";
import { dirname, join, resolve } from "node:path";

/** Where an engine keeps its things; everything else derives from these. */
export interface Paths {
  /** Durable state, default /var/lib/gantry. */
  root: string;
  /** Sockets and what dies with the boot, default /run/gantry. */
  run: string;
  /** Programs and guest files that belong to this build: `gantry-supervisor`, `guest/`. */
  libexec: string;
  /** Six hex digits of the root's path: names links, tables and cgroups, so that several engines stand side by side. */
  tag: string;
  /** The native API's socket. */
  socket: string;
}

/** Flags win over GANTRY_ROOT, GANTRY_RUN and GANTRY_LIBEXEC, those over the defaults. */
export function resolvePaths(
  flags: { root?: string; run?: string } = {},
  env: NodeJS.ProcessEnv = process.env,
): Paths {
  const root = resolve(flags.root ?? (env.GANTRY_ROOT || "/var/lib/gantry"));
  const run = resolve(flags.run ?? (env.GANTRY_RUN || "/run/gantry"));
  return {
    root,
    run,
    libexec: resolve(env.GANTRY_LIBEXEC || dirname(process.execPath)),
    tag: createHash("sha256").update(root).digest("hex").slice(0, 6),
    socket: join(run, "gantry.sock"),
  };
}

/** A sandbox's run folder: its supervisor's `sock` and `supervisor.log`, and what a backend keeps for the boot's time. */
export const sandboxFolder = (paths: Paths, sandboxId: string): string =>
  join(paths.run, "sandboxes", sandboxId);

/** An instance's durable folder: log and exit file (the engine's), the writable layer (the backend's). */
export const instanceFolder = (paths: Paths, instanceId: string): string =>
  join(paths.root, "instances", instanceId);

/** `WorkloadSpec.log.path` of an instance; rotations are `<path>.1` and so on. */
export const logFile = (paths: Paths, instanceId: string): string =>
  join(instanceFolder(paths, instanceId), "log.json");

/** `WorkloadSpec.exitFile` of an instance. */
export const exitFile = (paths: Paths, instanceId: string): string =>
  join(instanceFolder(paths, instanceId), "exit.json");
