import { readdirSync, readFileSync, writeSync } from "node:fs";
import { GantryError } from "../model/errors.ts";

/** Set by `bun build --define`; absent when the sources run as they are. */
declare const GANTRY_FAILPOINTS: boolean | undefined;
const built = typeof GANTRY_FAILPOINTS !== "undefined" && GANTRY_FAILPOINTS;

/** Every place where a crash test can strike: after each step of create, start, stop and remove. */
export const failpoints = [
  "create.after-intent",
  "create.after-layer",
  "create.after-volumes",
  "create.after-record",
  "start.after-intent",
  "start.after-layer",
  "start.after-volumes",
  "start.after-network",
  "start.after-attachment",
  "start.after-open",
  "start.after-supervisor",
  "start.after-attach",
  "start.after-start",
  "start.after-running",
  "stop.after-intent",
  "stop.after-signal",
  "stop.after-exit",
  "stop.after-network",
  "stop.after-close",
  "stop.after-record",
  "remove.after-intent",
  "remove.after-close",
  "remove.after-layer",
  "remove.after-volumes",
  "remove.after-record",
] as const;
export type Failpoint = (typeof failpoints)[number];

/** Who is killed there: the engine itself, the sandbox's supervisor, or that supervisor's QEMU. */
export const failpointVictims = ["engine", "supervisor", "qemu"] as const;
type Victim = (typeof failpointVictims)[number];

/**
 * GANTRY_FAILPOINT is `<name>` or `<name>=<victim>`, and counts in a build made for it alone.
 * Any other build refuses to run with it, so that nobody takes such a build's calm for a passed test.
 * Throws `unsupported` or `invalid`.
 */
export function checkFailpoints(env: NodeJS.ProcessEnv = process.env): void {
  const value = env.GANTRY_FAILPOINT;
  if (!value) return;
  if (!built)
    throw new GantryError(
      "unsupported",
      "GANTRY_FAILPOINT is set, and this build has no failpoints: unset it, or use the one of scripts/build --failpoints",
    );
  const { name, victim } = parse(value);
  if (!(failpoints as readonly string[]).includes(name) || !failpointVictims.includes(victim))
    throw new GantryError("invalid", `GANTRY_FAILPOINT=${value}: no such failpoint or victim`);
}

export const failpointBuild = (): boolean => built;

/** Kills the chosen victim when the chosen point is reached; nothing at all in a release build. */
export function failpoint(name: Failpoint, supervisorPid?: number): void {
  if (!built) return;
  const value = process.env.GANTRY_FAILPOINT;
  if (!value) return;
  const chosen = parse(value);
  if (chosen.name !== name) return;
  const struck = (pid: number) =>
    writeSync(2, `gantry: failpoint ${name}: killing ${chosen.victim} ${pid}\n`);
  if (chosen.victim === "engine") {
    struck(process.pid);
    process.kill(process.pid, "SIGKILL");
  }
  if (supervisorPid === undefined) return;
  const pids = chosen.victim === "supervisor" ? [supervisorPid] : qemuChildren(supervisorPid);
  for (const pid of pids)
    try {
      process.kill(pid, "SIGKILL");
      struck(pid);
    } catch {
      // it is gone already
    }
}

function parse(value: string): { name: string; victim: Victim } {
  const [name = "", victim = "engine"] = value.split("=");
  return { name, victim: victim as Victim };
}

function qemuChildren(parent: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        const close = stat.lastIndexOf(")");
        const ppid = Number(stat.slice(close + 2).split(" ")[1]);
        return ppid === parent && stat.slice(0, close).includes("qemu");
      } catch {
        return false;
      }
    });
}
