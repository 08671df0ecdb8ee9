import { mkdir, rm } from "node:fs/promises";
import { removeCgroup } from "../../lib/cgroup.ts";
import { type Paths, sandboxFolder } from "../../lib/paths.ts";
import type { Undo } from "../../lib/undo.ts";
import { GantryError } from "../../model/errors.ts";
import type { SandboxRecord } from "../../model/instance.ts";
import type { OpenRequest } from "../../ports/isolation.ts";
import type { Supervisor, Supervisors } from "../../ports/supervisor.ts";
import type { Probed } from "./probe.ts";

const openTimeout = 30_000;
/** For a supervisor that has said its end: the time it may still take to hand the last output to its clients. */
const lingerTimeout = 3_000;

/** Path of a sandbox's cgroup below every hierarchy's root. */
export const cgroupPath = (paths: Paths, sandboxId: string): string => `/gantry/${paths.tag}/${sandboxId}`;

/** Starts the container's supervisor; the undo is `closeSandbox`. Throws `unavailable` when containers do not work here. */
export async function openSandbox(
  paths: Paths,
  supervisors: Supervisors,
  probed: Probed,
  { sandbox }: OpenRequest,
  undo: Undo,
): Promise<Supervisor> {
  if (!probed.runtime) throw new GantryError("unavailable", `containers do not run here: ${probed.problem}`);
  const folder = sandboxFolder(paths, sandbox.id);
  undo.defer("the container's sandbox", () => closeSandbox(paths, supervisors, sandbox));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const config = {
    id: sandbox.id,
    folder,
    runtime: probed.runtime.program,
    hideUnified: probed.runtime.hideUnified,
  };
  return await supervisors.open("container", folder, config, openTimeout);
}

/**
 * Takes back whatever a sandbox holds, also when its supervisor was killed: the supervisor (with the mounts in its
 * namespace), every process of the cgroup, the cgroup, the run folder. Idempotent.
 */
export async function closeSandbox(
  paths: Paths,
  supervisors: Supervisors,
  sandbox: SandboxRecord,
): Promise<void> {
  const folder = sandboxFolder(paths, sandbox.id);
  const supervisor = await supervisors.connect(folder);
  // Without a socket it has ended, or is about to: its last output may be on the way to a client.
  if (supervisor) await supervisor.shutdown(lingerTimeout);
  else if (sandbox.supervisor) await supervisors.waitGone(sandbox.supervisor, lingerTimeout);
  if (sandbox.supervisor) await supervisors.kill(sandbox.supervisor);
  await removeCgroup(cgroupPath(paths, sandbox.id));
  await rm(folder, { recursive: true, force: true });
}
