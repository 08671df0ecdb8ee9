import { rm } from "node:fs/promises";
import { instanceFolder, sandboxFolder } from "../lib/paths.ts";
import { GantryError } from "../model/errors.ts";
import type { InstanceRecord, SandboxRecord } from "../model/instance.ts";
import { dropHeld } from "./attach.ts";
import { backendOf, type Context, emit, instanceOf, isActive, update } from "./context.ts";
import { failpoint } from "./failpoint.ts";
import { instanceLabel } from "./plan/plan.ts";
import { forgetRestart } from "./restart-policy.ts";
import { closeSandbox } from "./sandbox.ts";
import { endNow } from "./stop.ts";
import { notify } from "./wait.ts";

/** See ports/engine.ts. */
export async function remove(
  context: Context,
  project: string,
  reference: string,
  options: { force: boolean; volumes: boolean },
): Promise<void> {
  const { id } = context.state.findInstance(project, reference);
  if (options.force) interrupt(context, id);
  await context.lock.run(id, async () => {
    const record = context.state.instances.get(id);
    if (!record) return; // --rm was faster
    const runs = isActive(record) || record.state === "restarting";
    if (runs && !options.force)
      throw new GantryError(
        "conflict",
        `instance ${record.name} is ${record.state}: stop it first, or remove it with --force`,
      );
    if (isActive(record)) await endNow(context, id);
    if (context.state.instances.get(id)) await removeLocked(context, id, options);
  });
}

/** Does not wait for a stop that is being patient with it. */
function interrupt(context: Context, id: string): void {
  const record = context.state.instances.get(id);
  if (!record || !isActive(record)) return;
  update(context, id, { stoppedByUser: true });
  const live = context.live.get(record.sandboxId);
  live?.supervisor.signal(id, 9).catch(() => {}); // endNow has further means
}

/** Takes away all that the instance has, under its lock. Any part may be gone already. Leaves it `broken` when a part resists. */
export async function removeLocked(
  context: Context,
  id: string,
  options: { volumes: boolean },
): Promise<void> {
  const before = instanceOf(context, id);
  const record = update(context, id, {
    state: "removing",
    // Volumes that are to stay are no longer its own: a crash from here on removes what is left of `volumes`.
    ...(!options.volumes && { volumes: before.volumes.map((volume) => ({ ...volume, anonymous: false })) }),
  });
  forgetRestart(context, id);
  failpoint("remove.after-intent");
  try {
    await closeSandbox(context, record.sandboxId);
    failpoint("remove.after-close");
    const sandbox = context.state.sandboxes.get(record.sandboxId) ?? {
      id: record.sandboxId,
      project: record.project,
      isolation: record.config.isolation,
    };
    await removeFiles(context, sandbox, id);
    failpoint("remove.after-layer");
    await removeAnonymous(context, record);
    failpoint("remove.after-volumes");
  } catch (thrown) {
    const error = GantryError.from(thrown);
    update(context, id, { state: "broken", error: error.message });
    throw error;
  }
  context.state.transaction(() => {
    context.state.instances.delete(id);
    context.state.sandboxes.delete(record.sandboxId);
  });
  failpoint("remove.after-record");
  forget(context, record);
}

/** The writable layer, log, exit file and run folder. Idempotent. */
async function removeFiles(context: Context, sandbox: SandboxRecord, id: string): Promise<void> {
  await backendOf(context, sandbox).removeLayer(id);
  await rm(instanceFolder(context.paths, id), { recursive: true, force: true });
  await rm(sandboxFolder(context.paths, sandbox.id), { recursive: true, force: true });
}

async function removeAnonymous(context: Context, record: InstanceRecord): Promise<void> {
  const others = new Set(
    context.state.instances
      .all(record.project)
      .filter((other) => other.id !== record.id)
      .flatMap((other) => other.volumes.map((volume) => volume.name)),
  );
  for (const volume of record.volumes)
    if (volume.anonymous && !others.has(volume.name))
      await context.volumes.remove(record.project, volume.name);
}

/** The closer of a creation that did not come to its end: known by its sandbox alone. Idempotent. */
export async function discardCreate(context: Context, sandbox: SandboxRecord): Promise<void> {
  await closeSandbox(context, sandbox.id);
  await removeFiles(context, sandbox, sandbox.id);
  for (const volume of await context.volumes.list(sandbox.project))
    if (volume.anonymous && volume.labels[instanceLabel] === sandbox.id)
      await context.volumes.remove(sandbox.project, volume.name);
  context.state.transaction(() => {
    context.state.instances.delete(sandbox.id);
    context.state.sandboxes.delete(sandbox.id);
  });
}

function forget(context: Context, record: InstanceRecord): void {
  dropHeld(context, record.id);
  context.phases.delete(record.id);
  for (const [exec, entry] of context.execs) if (entry.instance === record.id) context.execs.delete(exec);
  emit(context, record, "destroy");
  notify(context, record.id, "removed", {
    exitCode: record.exitCode ?? 0,
    oomKilled: record.oomKilled,
    ...(record.error && { error: record.error }),
  });
}
