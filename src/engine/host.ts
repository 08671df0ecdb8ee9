import { existsSync, readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { LimitFacts } from "./plan/resources.ts";

/** How this host's control groups are mounted. */
export function cgroupKind(): "v1" | "hybrid" | "v2" {
  if (existsSync("/sys/fs/cgroup/cgroup.controllers")) return "v2";
  return existsSync("/sys/fs/cgroup/unified/cgroup.controllers") ? "hybrid" : "v1";
}

export const hostFacts = (): LimitFacts => ({ swapLimit: swapCounted(), cpus: availableParallelism() });

/** A v2 root has no memory files itself: any child with the memory controller shows whether swap is counted. */
function swapCounted(): boolean {
  if (existsSync("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")) return true;
  if (cgroupKind() !== "v2") return false;
  try {
    return readdirSync("/sys/fs/cgroup", { withFileTypes: true }).some(
      (entry) => entry.isDirectory() && existsSync(join("/sys/fs/cgroup", entry.name, "memory.swap.max")),
    );
  } catch {
    return false;
  }
}

/** Kernel start time of a process in clock ticks; undefined when there is no such process. */
export function processStartTime(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  } catch {
    return undefined;
  }
}
