import { sandboxFolder } from "../lib/paths.ts";
import { GantryError } from "../model/errors.ts";
import type { InstanceRecord } from "../model/instance.ts";
import type { Supervisor, SupervisorState } from "../ports/supervisor.ts";
import { dropHeld } from "./attach.ts";
import { type Context, isActive, update, updateSandbox } from "./context.ts";
import { collect } from "./gc.ts";
import { discardCreate, removeLocked } from "./remove.ts";
import { armRestart } from "./restart-policy.ts";
import { closeSandbox, dnsNames, readExit, watch } from "./sandbox.ts";
import { settle } from "./settle.ts";
import { stopLocked } from "./stop.ts";
import { clearStrays, findSupervisors } from "./strays.ts";

const parallel = 16;
const firstRestart = 100;

/**
 * What a new engine does before it answers: adopts what lives, settles what ended meanwhile, takes back what was half made,
 * each through the same closers as ever. Linear in the number of instances. One that resists is left `broken`.
 */
export async function reconcile(context: Context): Promise<void> {
  const started = performance.now();
  recordFound(context);
  const records = context.state.instances.all();
  const known = new Set(records.map((record) => record.sandboxId));
  await each(records, async (record) => {
    await context.lock
      .run(record.id, () => one(context, record))
      .catch((error) => breakdown(context, record, error));
  });
  await each(
    context.state.sandboxes.all().filter((sandbox) => !known.has(sandbox.id)),
    (sandbox) =>
      discardCreate(context, sandbox).catch((error: Error) =>
        report(`half-made ${sandbox.id.slice(0, 12)}`, error),
      ),
  );
  await clearStrays(context);
  await context.network.reconcile(liveAttachments(context));
  await context.volumes.reconcile();
  await context.images.reconcile();
  context.ready.resolve();
  collect(context).catch((error: Error) => report("the image store", error));
  console.error(
    `gantry: ${records.length} instances reconciled in ${Math.round(performance.now() - started)} ms, ${context.live.size} of them alive`,
  );
}

/** A supervisor spawned just before the crash may not stand in its record yet: put it there, so that the closers find it. */
function recordFound(context: Context): void {
  for (const { sandboxId, pid, startTime } of findSupervisors(context.paths)) {
    const sandbox = context.state.sandboxes.get(sandboxId);
    if (sandbox && sandbox.supervisor?.pid !== pid)
      updateSandbox(context, sandboxId, { supervisor: { pid, startTime } });
  }
}

async function one(context: Context, record: InstanceRecord): Promise<void> {
  switch (record.state) {
    case "running":
    case "paused":
    case "stopping":
      return await adoptOrSettle(context, record);
    case "starting":
      return await undoStart(context, record);
    case "removing":
      return await removeLocked(context, record.id, { volumes: true });
    case "restarting":
      await closeSandbox(context, record.sandboxId);
      return armRestart(context, record.id, firstRestart);
    case "broken":
      return;
    case "created":
    case "exited":
      await finishExit(context, record);
  }
}

async function adoptOrSettle(context: Context, record: InstanceRecord): Promise<void> {
  const supervisor = await context.supervisors.connect(sandboxFolder(context.paths, record.sandboxId));
  const state = supervisor && (await supervisor.hello().catch(() => undefined));
  const workload = state?.workloads.find(
    (one) => one.id === record.id && one.generation === record.generation,
  );
  if (supervisor && workload && workload.state !== "exited" && workload.state !== "created") {
    adopt(context, record, supervisor, workload);
    return;
  }
  const exit = workload?.exit ?? (await readExit(context, record.id, record.generation));
  supervisor?.disconnect();
  await settle(context, record.id, record.generation, exit);
}

function adopt(
  context: Context,
  record: InstanceRecord,
  supervisor: Supervisor,
  workload: SupervisorState["workloads"][number],
): void {
  watch(context, record, supervisor);
  updateSandbox(context, record.sandboxId, {
    supervisor: { pid: supervisor.pid, startTime: supervisor.startTime },
  });
  const state = workload.state === "paused" ? "paused" : "running";
  const adopted = update(context, record.id, {
    state,
    ...(workload.pid !== undefined && { pid: workload.pid }),
  });
  if (record.state !== "stopping") return;
  // The user asked for its end before the crash: it goes on, when all rooms are reconciled.
  context.ready.promise
    .then(() =>
      context.lock.run(record.id, async () => {
        const now = context.state.instances.get(record.id);
        if (now && now.generation === adopted.generation && isActive(now))
          await stopLocked(context, record.id);
      }),
    )
    .catch((error: Error) => report(`stopping ${record.name}`, error));
}

/** Nobody was told that it runs: it is undone, as if the start had failed. */
async function undoStart(context: Context, record: InstanceRecord): Promise<void> {
  await closeSandbox(context, record.sandboxId);
  dropHeld(context, record.id);
  const { pid: _, ...rest } = record;
  context.state.instances.put({
    ...rest,
    state: record.startedAt === undefined ? "created" : "exited",
    exitCode: 128,
    error: "the engine died while it started; start it again",
  });
  if (record.config.autoRemove) {
    await removeLocked(context, record.id, { volumes: true });
    return;
  }
  const { restart } = record.config;
  if (!record.stoppedByUser && record.restartCount > 0 && restart.name !== "no") {
    update(context, record.id, { state: "restarting" });
    armRestart(context, record.id, firstRestart);
  }
}

/** The exit was recorded; what follows it may have been cut off. */
async function finishExit(context: Context, record: InstanceRecord): Promise<void> {
  const sandbox = context.state.sandboxes.get(record.sandboxId);
  if (sandbox?.supervisor || sandbox?.attachment) await closeSandbox(context, record.sandboxId);
  if (record.state === "exited" && record.config.autoRemove)
    await removeLocked(context, record.id, { volumes: true });
}

const liveAttachments = (context: Context) =>
  context.state.instances
    .all()
    .filter((record) => isActive(record))
    .flatMap((record) => {
      const attachment = context.state.sandboxes.get(record.sandboxId)?.attachment;
      return attachment ? [{ project: record.project, attachment, names: dnsNames(record) }] : [];
    });

function breakdown(context: Context, record: InstanceRecord, thrown: unknown): void {
  const error = GantryError.from(thrown);
  report(record.name, error);
  if (context.state.instances.get(record.id))
    update(context, record.id, { state: "broken", error: error.message });
}

const report = (what: string, error: Error): void =>
  console.error(`gantry: reconciling ${what}: ${error.message}`);

/** A few side by side, since most of each is waiting. */
async function each<T>(items: readonly T[], fn: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  await Promise.all(
    Array.from({ length: Math.min(parallel, items.length) }, async () => {
      for (const item of left) await fn(item);
    }),
  );
}
