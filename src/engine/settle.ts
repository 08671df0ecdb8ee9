import type { InstanceRecord } from "../model/instance.ts";
import type { ExitRecord } from "../ports/supervisor.ts";
import { type Context, emit, instanceOf, isActive, sandboxOf, update, updateSandbox } from "./context.ts";
import { failpoint } from "./failpoint.ts";
import { within } from "./patience.ts";
import { removeLocked } from "./remove.ts";
import { forgetRestart, scheduleRestart } from "./restart-policy.ts";
import { closeSandbox, detach, dropLive } from "./sandbox.ts";
import { notify } from "./wait.ts";

/** A guest that powers off syncs its disk first. */
const closingTimeout = 15_000;

/**
 * The workload of this start has ended: network back, exit recorded and told, sandbox closed, then removal or restart.
 * Called under the instance's lock, any number of times; only the first counts. `exit` is undefined when the supervisor
 * died without leaving a record.
 */
export async function settle(
  context: Context,
  id: string,
  generation: number,
  exit: ExitRecord | undefined,
): Promise<void> {
  const before = context.state.instances.get(id);
  if (!before || before.generation !== generation || !isActive(before)) return;
  const sandbox = sandboxOf(context, before);
  const live = context.live.get(before.sandboxId);
  const failures: string[] = [];
  const detached = await detach(context, sandbox).then(
    () => true,
    (error: Error) => {
      failures.push(`detaching the network: ${error.message}`);
      return false;
    },
  );
  failpoint("stop.after-network", sandbox.supervisor?.pid);
  const again = scheduleRestart(context, before, exit?.exitCode ?? 137);
  const { pid: _, error: __, ...rest } = instanceOf(context, id);
  const reason = exit ? exit.reason : "its supervisor died; what ran in it was killed";
  const record: InstanceRecord = {
    ...rest,
    state: again ? "restarting" : "exited",
    exitCode: exit?.exitCode ?? 137,
    oomKilled: exit?.oomKilled ?? false,
    finishedAt: exit?.finishedAt ?? Date.now(),
    ...(reason && { error: reason }),
  };
  context.state.transaction(() => {
    context.state.instances.put(record);
    if (detached) updateSandbox(context, before.sandboxId, { attachment: undefined });
  });
  failpoint("stop.after-record", sandbox.supervisor?.pid);
  emit(context, record, "die", { exitCode: String(record.exitCode) });
  notify(context, id, "exit", {
    exitCode: record.exitCode ?? 0,
    oomKilled: record.oomKilled,
    ...(record.error && { error: record.error }),
  });
  if (live) {
    await within(live.supervisor.closed, closingTimeout, undefined);
    dropLive(context, before.sandboxId);
  }
  await closeSandbox(context, before.sandboxId).catch((error: Error) => failures.push(error.message));
  failpoint("stop.after-close");
  if (failures.length > 0) {
    forgetRestart(context, id);
    update(context, id, { state: "broken", error: failures.join("; ") });
    return;
  }
  if (record.config.autoRemove) await removeLocked(context, id, { volumes: true });
}
