import { readFile } from "node:fs/promises";
import { GantryError } from "../model/errors.ts";

/** A process that cannot be mistaken for another one that got its pid later. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks since boot: field 22 of /proc/PID/stat, see proc(5). */
  startTime: number;
}

/** Start time of a process; undefined when there is none, or only its zombie. */
export async function startTimeOf(pid: number): Promise<number | undefined> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The second field, the name in parentheses, may hold anything: count from its end.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z" || fields[0] === "X") return undefined;
  return Number(fields[19]);
}

export const isAlive = async (process: ProcessIdentity): Promise<boolean> =>
  (await startTimeOf(process.pid)) === process.startTime;

/** Waits until the process is gone, at most `timeout` ms; false when it is still there. */
export async function waitGone(identity: ProcessIdentity, timeout: number): Promise<boolean> {
  const end = Date.now() + timeout;
  for (let pause = 1; await isAlive(identity); pause = Math.min(pause * 2, 20)) {
    if (Date.now() >= end) return false;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  return true;
}

/** SIGKILL, and waits; no error when it is gone already. Throws `deadline` when the kernel does not let it die. */
export async function killProcess(identity: ProcessIdentity): Promise<void> {
  if (!(await isAlive(identity))) return;
  try {
    process.kill(identity.pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
  if (!(await waitGone(identity, 10_000)))
    throw new GantryError("deadline", `process ${identity.pid} did not die within 10 s of SIGKILL`);
}
