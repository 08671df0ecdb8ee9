import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { removeCgroup } from "../../lib/cgroup.ts";
import { type Paths, sandboxFolder } from "../../lib/paths.ts";
import type { SandboxRecord } from "../../model/instance.ts";
import type { Supervisors } from "../../ports/supervisor.ts";
import { cgroupPath } from "./config.ts";

/**
 * Milliseconds that a guest gets for its end. It may be writing out its disks just now: the writable layer is clean
 * only after that.
 */
const lingerTimeout = 15_000;

/**
 * Takes away what a VM may have left, from its record alone: shim (QEMU and virtiofsd die with it), what is still in
 * its cgroup, the cgroup, the run folder. Idempotent. Throws when a process cannot be killed or a folder not removed.
 */
export async function closeVm(paths: Paths, supervisors: Supervisors, sandbox: SandboxRecord): Promise<void> {
  const folder = sandboxFolder(paths, sandbox.id);
  const supervisor = await supervisors.connect(folder);
  if (supervisor) await supervisor.shutdown(lingerTimeout);
  else if (sandbox.supervisor) await supervisors.waitGone(sandbox.supervisor, 3_000);
  if (sandbox.supervisor) await supervisors.kill(sandbox.supervisor);
  await removeCgroup(cgroupPath(paths, sandbox.id));
  // The shim mounts there, in its own namespace only: here both are empty folders, or something is wrong.
  for (const name of ["root", "shares"]) await removeEmpty(join(folder, name));
  await rm(folder, { recursive: true, force: true });
}

async function removeEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
