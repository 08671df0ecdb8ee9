import { readdir, readFile, rmdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GantryError } from "../model/errors.ts";

/** How this host arranges control groups; hybrid is v1 with a v2 hierarchy beside it. */
export type CgroupMode = "v1" | "hybrid" | "v2";

interface Hierarchy {
  mountPoint: string;
  v2: boolean;
}

/** Mounts of control groups in /proc/self/mountinfo, see proc(5). */
export function parseHierarchies(mountinfo: string): Hierarchy[] {
  const found: Hierarchy[] = [];
  for (const line of mountinfo.split("\n")) {
    const [before, after] = line.split(" - ");
    const type = after?.split(" ")[0];
    const mountPoint = before?.split(" ")[4];
    if (mountPoint && (type === "cgroup" || type === "cgroup2"))
      found.push({ mountPoint: decodeOctal(mountPoint), v2: type === "cgroup2" });
  }
  return found;
}

const decodeOctal = (path: string): string =>
  path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

export function modeOf(hierarchies: readonly Hierarchy[]): CgroupMode {
  const v1 = hierarchies.some((hierarchy) => !hierarchy.v2);
  const v2 = hierarchies.some((hierarchy) => hierarchy.v2);
  if (v1) return v2 ? "hybrid" : "v1";
  return "v2";
}

const hierarchies = async (): Promise<Hierarchy[]> =>
  parseHierarchies(await readFile("/proc/self/mountinfo", "utf8"));

export const cgroupMode = async (): Promise<CgroupMode> => modeOf(await hierarchies());

/** Where a cgroup of this path exists, in every hierarchy. `path` is absolute and ours, e.g. `/gantry/<tag>/<id>`. */
async function foldersOf(path: string): Promise<string[]> {
  if (!/^\/gantry\/[\w.-]+(\/[\w.-]+)*$/.test(path) || path.includes(".."))
    throw new GantryError("internal", `${path} is not a cgroup of ours`);
  const folders: string[] = [];
  for (const { mountPoint } of await hierarchies()) {
    const folder = join(mountPoint, path);
    if ((await stat(folder).catch(() => undefined))?.isDirectory() && !folders.includes(folder))
      folders.push(folder);
  }
  return folders;
}

/** The folder and all cgroups beneath it, deepest first. */
async function withChildren(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const below = await Promise.all(
    entries.filter((entry) => entry.isDirectory()).map((entry) => withChildren(join(folder, entry.name))),
  );
  return [...below.flat(), folder];
}

async function killOnce(groups: readonly string[]): Promise<boolean> {
  let found = false;
  for (const group of groups) {
    const text = await readFile(join(group, "cgroup.procs"), "utf8").catch(() => "");
    for (const line of text.split("\n")) {
      const pid = Number(line);
      if (pid <= 0) continue; // 0: a process of a namespace that we do not see
      found = true;
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // gone in between
      }
    }
    // Frozen processes die only when they are thawed.
    await writeFile(join(group, "freezer.state"), "THAWED", { flag: "r+" }).catch(() => {});
    await writeFile(join(group, "cgroup.freeze"), "0", { flag: "r+" }).catch(() => {});
  }
  return found;
}

/**
 * Kills every process in the cgroup of this path (in any hierarchy) and removes it with all beneath it.
 * Idempotent. Throws `deadline` when that has not worked within `timeout` ms.
 */
export async function removeCgroup(path: string, timeout = 10_000): Promise<void> {
  const end = Date.now() + timeout;
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    const folders = await foldersOf(path);
    if (folders.length === 0) return;
    const groups = (await Promise.all(folders.map(withChildren))).flat();
    if (!(await killOnce(groups))) for (const group of groups) await rmdir(group).catch(() => {});
    if ((await foldersOf(path)).length === 0) return;
    if (Date.now() >= end)
      throw new GantryError("deadline", `cgroup ${path} could not be emptied within ${timeout} ms`);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
