import { readdirSync, readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { toolMark } from "./tools.ts";

/**
 * Waits for the tools of engines that were killed: they live on for a moment, and what they still do must not come
 * after this engine has looked at what there is. At most `patience` milliseconds; false when some are left.
 */
export async function waitForOrphans(patience = 5_000): Promise<boolean> {
  for (const until = Date.now() + patience; ; await setTimeout(5)) {
    if (!readdirSync("/proc").some((name) => /^\d+$/.test(name) && isOrphan(name))) return true;
    if (Date.now() > until) return false;
  }
}

function isOrphan(pid: string): boolean {
  try {
    const environ = readFileSync(`/proc/${pid}/environ`, "latin1");
    const engine = environ.split("\0").find((entry) => entry.startsWith(`${toolMark}=`));
    if (engine === undefined) return false;
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state !== "Z" && parent !== engine.slice(toolMark.length + 1);
  } catch {
    return false; // it has ended meanwhile
  }
}
