import { readFile, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Paths, sandboxFolder } from "../../lib/paths.ts";
import { GantryError } from "../../model/errors.ts";
import type { SandboxRecord } from "../../model/instance.ts";
import type { Supervisors } from "../../ports/supervisor.ts";
import { cgroupPath } from "./config.ts";

/**
 * Takes away what a VM may have left, from its record alone: shim (QEMU and virtiofsd die with it), what is still in
 * its cgroup, the cgroup, the run folder. Idempotent. Throws `internal` when a process cannot be killed.
 */
export async function closeVm(
  paths: Paths,
  supervisors: Pick<Supervisors, "kill">,
  sandbox: SandboxRecord,
): Promise<void> {
  if (sandbox.supervisor) await supervisors.kill(sandbox.supervisor);
  for (const folder of await cgroupFolders(cgroupPath(paths, sandbox.id))) await emptyCgroup(folder);
  const folder = sandboxFolder(paths, sandbox.id);
  // The shim mounts there, in its own namespace only: here both are empty folders, or something is wrong.
  for (const name of ["root", "shares"]) await ignoring(["ENOENT"], rmdir(join(folder, name)));
  await rm(folder, { recursive: true, force: true });
}

/** A VM's cgroup in each hierarchy that is mounted: v1's controllers, v2, or both. */
export async function cgroupFolders(path: string): Promise<string[]> {
  const mountinfo = await readFile("/proc/self/mountinfo", "utf8");
  const folders = new Set<string>();
  for (const line of mountinfo.split("\n")) {
    const [before, after] = line.split(" - ");
    if (/^cgroup2? /.test(after ?? "")) folders.add(join(before!.split(" ")[4]!, path));
  }
  return [...folders];
}

/** Kills what is in a cgroup and removes it, and its parents when they are empty. */
async function emptyCgroup(folder: string): Promise<void> {
  const until = Date.now() + 10_000;
  for (;;) {
    const pids = await readFile(join(folder, "cgroup.procs"), "utf8").catch(() => undefined);
    if (pids === undefined) break;
    for (const pid of pids.split("\n").filter(Boolean)) kill(Number(pid));
    try {
      await rmdir(folder);
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") break;
      if (Date.now() > until)
        throw new GantryError("internal", `cgroup ${folder} cannot be removed: ${(error as Error).message}`);
    }
    await sleep(5);
  }
  for (const parent of [dirname(folder), dirname(dirname(folder))])
    await ignoring(["ENOENT", "EBUSY", "ENOTEMPTY"], rmdir(parent));
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has died by itself.
  }
}

async function ignoring(codes: string[], work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}
