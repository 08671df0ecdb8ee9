import { readdirSync, readFileSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { instanceFolder, type Paths, sandboxFolder } from "../lib/paths.ts";
import type { SandboxRecord } from "../model/instance.ts";
import { type Isolation, isolations } from "../model/isolation.ts";
import type { Context } from "./context.ts";
import { processStartTime } from "./host.ts";

/** In a supervisor's environment: its run folder. */
const folderMark = "GANTRY_SANDBOX=";

/** Ids, and what a probe of a wall leaves when it is cut off. */
const idPattern = /^(probe-)?[0-9a-f]{12,64}$/;

/** Supervisors of this engine that live now, by the run folder in their environment. One pass over /proc. */
export function findSupervisors(paths: Paths): { sandboxId: string; pid: number; startTime: number }[] {
  const folders = `${dirname(sandboxFolder(paths, "x"))}/`;
  const found: { sandboxId: string; pid: number; startTime: number }[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    const folder = supervisorFolder(pid);
    if (!folder?.startsWith(folders)) continue;
    const sandboxId = folder.slice(folders.length).split("/")[0];
    const startTime = processStartTime(pid);
    if (sandboxId && startTime !== undefined) found.push({ sandboxId, pid, startTime });
  }
  return found;
}

/** Set from its first moment on, and only for itself: its children get environments of their own. */
function supervisorFolder(pid: number): string | undefined {
  try {
    const [program, mode] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    if (!program?.endsWith("gantry-supervisor") || !isolations.includes(mode as Isolation)) return undefined;
    const environ = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
    return environ.find((entry) => entry.startsWith(folderMark))?.slice(folderMark.length);
  } catch {
    return undefined; // it has ended meanwhile
  }
}

/** Closes and removes what carries a sandbox's or instance's id that no record knows. */
export async function clearStrays(context: Context): Promise<void> {
  const { paths, state } = context;
  const ids = new Set([
    ...(await idsIn(dirname(sandboxFolder(paths, "x")))),
    ...(await idsIn(dirname(instanceFolder(paths, "x")))),
    ...(await cgroupIds(paths)),
    ...findSupervisors(paths).map((supervisor) => supervisor.sandboxId),
  ]);
  const processes = new Map(findSupervisors(paths).map((process) => [process.sandboxId, process]));
  for (const id of ids) {
    if (state.sandboxes.get(id) || state.instances.get(id)) continue;
    for (const backend of Object.values(context.backends)) {
      const process = processes.get(id);
      const sandbox: SandboxRecord = {
        id,
        project: "",
        isolation: backend.isolation,
        ...(process && { supervisor: { pid: process.pid, startTime: process.startTime } }),
      };
      try {
        await backend.close(sandbox);
        await backend.removeLayer(id);
      } catch (error) {
        console.error(`gantry: clearing stray ${id.slice(0, 12)}: ${(error as Error).message}`);
      }
    }
    await rm(sandboxFolder(paths, id), { recursive: true, force: true });
    await rm(instanceFolder(paths, id), { recursive: true, force: true });
  }
}

/** In whatever hierarchies this host has, at their usual places: v2 alone, or v1's controllers with v2 beside them. */
async function cgroupIds(paths: Paths): Promise<string[]> {
  const top = "/sys/fs/cgroup";
  const mounts = [top, ...(await readdir(top).catch(() => [])).map((name) => join(top, name))];
  return (await Promise.all(mounts.map((mount) => idsIn(join(mount, "gantry", paths.tag))))).flat();
}

async function idsIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(join(folder))).filter((name) => idPattern.test(name));
  } catch {
    return [];
  }
}
