import { GantryError } from "../model/errors.ts";
import type { InstanceRecord } from "../model/instance.ts";
import type { ExitRecord } from "../ports/supervisor.ts";
import { type Context, emit, instanceOf, isActive, type Live, sandboxOf, update } from "./context.ts";
import { failpoint } from "./failpoint.ts";
import { within } from "./patience.ts";
import { forgetRestart } from "./restart-policy.ts";
import { readExit } from "./sandbox.ts";
import { settle } from "./settle.ts";
import { signalNumber } from "./signals.ts";
import { stopSignalOf } from "./view.ts";

const defaultTimeout = 10;
const sigkill = 9;
/** After SIGKILL: how long before the supervisor itself is taken for stuck. */
const killPatience = 10_000;

/** See ports/engine.ts. */
export async function stop(
  context: Context,
  project: string,
  reference: string,
  timeout?: number,
): Promise<void> {
  const { id } = context.state.findInstance(project, reference);
  await context.lock.run(id, () => stopLocked(context, id, timeout));
}

/** Under the instance's lock: ends what runs, or the wish to run again. */
export async function stopLocked(context: Context, id: string, timeout?: number): Promise<void> {
  const record = instanceOf(context, id);
  if (record.state === "restarting") {
    forgetRestart(context, id);
    update(context, id, { state: "exited", stoppedByUser: true });
    return;
  }
  if (!isActive(record)) return;
  const seconds = timeout ?? record.config.stopTimeout ?? defaultTimeout;
  const pid = sandboxOf(context, record).supervisor?.pid;
  const paused = record.state === "paused";
  update(context, id, { state: "stopping", stoppedByUser: true });
  failpoint("stop.after-intent", pid);
  const live = context.live.get(record.sandboxId);
  const signal = signalNumber(await stopSignalOf(context, record));
  let exit: ExitRecord | undefined | "late" = "late";
  if (live) {
    emit(context, record, "kill", { signal: String(signal) });
    await deliver(live, id, signal, paused);
    failpoint("stop.after-signal", pid);
    exit = await exitWithin(live, id, seconds < 0 ? Number.POSITIVE_INFINITY : seconds * 1000);
  }
  await finish(context, record, live, exit);
  if (context.state.instances.get(id)) emit(context, record, "stop");
}

/** Under the instance's lock: SIGKILL at once. */
export async function endNow(context: Context, id: string): Promise<void> {
  const record = update(context, id, { stoppedByUser: true });
  await finish(context, record, context.live.get(record.sandboxId), "late");
}

async function finish(
  context: Context,
  record: InstanceRecord,
  live: Live | undefined,
  first: ExitRecord | undefined | "late",
): Promise<void> {
  const { id, generation } = record;
  let exit = first;
  if (exit === "late" && live) {
    await deliver(live, id, sigkill, record.state === "paused");
    exit = await exitWithin(live, id, killPatience);
  }
  const { supervisor } = sandboxOf(context, record);
  if (exit === "late" && supervisor) await context.supervisors.kill(supervisor);
  failpoint("stop.after-exit", supervisor?.pid);
  if (exit === "late" || exit === undefined) exit = await readExit(context, id, generation);
  await settle(context, id, generation, exit);
}

/** A frozen workload takes its signal when it is thawed. A supervisor that does not answer is dealt with by the caller's time limit. */
export async function deliver(live: Live, id: string, signal: number, paused: boolean): Promise<void> {
  const quietly = (error: unknown) => {
    const { code } = GantryError.from(error);
    if (code === "internal" || code === "invalid") throw error;
  };
  await live.supervisor.signal(id, signal).catch(quietly);
  if (paused) await live.supervisor.resume(id).catch(quietly);
}

async function exitWithin(live: Live, id: string, ms: number): Promise<ExitRecord | undefined | "late"> {
  const exit = live.exits.get(id);
  return exit ? await within(exit.promise, ms, "late" as const) : "late";
}
