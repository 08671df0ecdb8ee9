import { Undo } from "../lib/undo.ts";
import { GantryError } from "../model/errors.ts";
import type { InstanceRecord, InstanceState } from "../model/instance.ts";
import { connectHeld, dropHeld } from "./attach.ts";
import { checkBinds, writableSources } from "./bind-sources.ts";
import {
  backendOf,
  type Context,
  emit,
  instanceOf,
  isActive,
  planFacts,
  sandboxOf,
  update,
  updateSandbox,
} from "./context.ts";
import { failpoint } from "./failpoint.ts";
import { volumeFolders } from "./mounts.ts";
import { complete, type Plan, plan } from "./plan/plan.ts";
import { removeLocked } from "./remove.ts";
import { forgetRestart } from "./restart-policy.ts";
import { closeSandbox, dnsNames, recordSupervisor, watch } from "./sandbox.ts";
import { notify } from "./wait.ts";

/** Starts an instance that does not run; running already is no error. */
export async function start(context: Context, project: string, reference: string): Promise<InstanceRecord> {
  const { id } = context.state.findInstance(project, reference);
  return await context.lock.run(id, async () => {
    const record = instanceOf(context, id);
    if (record.state === "running") return record;
    if (record.state === "paused")
      throw new GantryError("conflict", `instance ${record.name} is paused: unpause it instead`);
    forgetRestart(context, id);
    if (record.state !== "broken") update(context, id, { stoppedByUser: false, restartCount: 0 });
    return await startLocked(context, id);
  });
}

/** The start itself, under the instance's lock. On failure everything is undone and the record says why. */
export async function startLocked(context: Context, id: string): Promise<InstanceRecord> {
  const before = instanceOf(context, id);
  if (isActive(before)) return before;
  if (before.state === "broken" || before.state === "removing")
    throw new GantryError(
      "conflict",
      `instance ${before.name} is ${before.state} and cannot start${before.error ? ` (${before.error})` : ""}; remove it by \`gantry rm -f ${before.name}\``,
    );
  const undo = new Undo();
  try {
    const running = await run(context, before, undo);
    undo.release();
    emit(context, running, "start");
    return running;
  } catch (thrown) {
    const error = explain(before, GantryError.from(thrown));
    await undone(context, before, error, undo);
    throw error;
  }
}

async function run(context: Context, before: InstanceRecord, undo: Undo): Promise<InstanceRecord> {
  const { id, sandboxId } = before;
  const mark = stopwatch();
  const image = await context.images.byDigest(before.imageDigest);
  await using lease = new Undo();
  context.images.lease(image, lease);
  const planned = plan(before, image.config, planFacts(context, before.config.isolation));
  checkBinds(planned.binds, writableSources(planned.binds, context.state.instances.all()));
  mark("plan");

  const { error: _, exitCode: __, finishedAt: ___, ...rest } = instanceOf(context, id);
  const starting: InstanceRecord = {
    ...rest,
    state: "starting",
    generation: before.generation + 1,
    oomKilled: false,
  };
  context.state.instances.put(starting);
  undo.defer("the sandbox", () => closeSandbox(context, sandboxId));
  failpoint("start.after-intent");

  const backend = backendOf(context, sandboxOf(context, starting));
  await backend.createLayer(starting, image);
  failpoint("start.after-layer");
  const folders = await volumeFolders(context, starting, planned, image);
  mark("snapshot");
  failpoint("start.after-volumes");

  const attachment = await attachNetwork(context, starting, planned, undo);
  const completed = complete(planned, folders, attachment);
  mark("network");

  const request = {
    sandbox: sandboxOf(context, starting),
    instance: starting,
    attachment,
    image,
    hostMounts: completed.hostMounts,
  };
  const supervisor = await backend.open(request, undo);
  failpoint("start.after-open", supervisor.pid);
  recordSupervisor(context, sandboxId, supervisor);
  const boot = await recordAccelerator(context, starting, supervisor);
  failpoint("start.after-supervisor", supervisor.pid);
  const live = watch(context, starting, supervisor);
  mark("open");

  const workload = await backend.workload({
    ...request,
    sandbox: sandboxOf(context, starting),
    ...completed,
  });
  await connectHeld(context, starting, live);
  failpoint("start.after-attach", supervisor.pid);
  const { pid } = await supervisor.start(workload);
  failpoint("start.after-start", supervisor.pid);
  mark("start");

  if (attachment.mode === "nat") context.network.setNames(starting.project, attachment, dnsNames(starting));
  const running = update(context, id, { state: "running", pid, startedAt: Date.now() });
  failpoint("start.after-running", supervisor.pid);
  context.phases.set(id, { ...mark.phases(), ...boot });
  return running;
}

async function attachNetwork(context: Context, record: InstanceRecord, planned: Plan, undo: Undo) {
  const attachment = await context.network.attach(planned.network, undo);
  failpoint("start.after-network");
  updateSandbox(context, record.sandboxId, { attachment });
  failpoint("start.after-attachment");
  return attachment;
}

async function recordAccelerator(
  context: Context,
  record: InstanceRecord,
  supervisor: { hello(): Promise<{ accelerator?: string; bootMs?: number }> },
): Promise<{ boot?: number }> {
  if (record.config.isolation !== "vm") return {};
  const { accelerator, bootMs } = await supervisor.hello();
  if (accelerator !== undefined && sandboxOf(context, record).accelerator !== accelerator)
    updateSandbox(context, record.sandboxId, { accelerator });
  return bootMs === undefined ? {} : { boot: bootMs };
}

/** A supervisor that died on the way says nothing itself. */
function explain(record: InstanceRecord, error: GantryError): GantryError {
  if (error.code !== "unavailable" || !error.message.startsWith("no supervisor answers")) return error;
  return new GantryError(
    "unavailable",
    `instance ${record.name} ended while it started: its supervisor or its ${record.config.isolation === "vm" ? "QEMU" : "container"} was killed; start it again`,
    { cause: error },
  );
}

/** Takes everything back and writes what became of the instance. */
async function undone(
  context: Context,
  before: InstanceRecord,
  error: GantryError,
  undo: Undo,
): Promise<void> {
  const { id } = before;
  let state: InstanceState = before.state === "created" ? "created" : "exited";
  let message = error.message;
  try {
    await undo[Symbol.asyncDispose]();
  } catch (failed) {
    state = "broken";
    message = `${error.message}; and ${(failed as Error).message}`;
  }
  dropHeld(context, id);
  forgetRestart(context, id);
  const record = context.state.instances.get(id);
  if (!record) return;
  const { pid: _, ...rest } = record;
  const exitCode = error.exitStatus ?? 128;
  context.state.instances.put({ ...rest, state, error: message, exitCode, oomKilled: false });
  notify(context, id, "exit", { exitCode, oomKilled: false, error: message });
  if (record.config.autoRemove && state !== "broken")
    await removeLocked(context, id, { volumes: true }).catch(() => {}); // its record says what went wrong
}

/** Milliseconds between marks, and in all. */
function stopwatch() {
  const began = performance.now();
  let last = began;
  const phases: Record<string, number> = {};
  const round = (ms: number) => Math.round(ms * 100) / 100;
  const mark = (name: string) => {
    const now = performance.now();
    phases[name] = round(now - last);
    last = now;
  };
  mark.phases = () => ({ ...phases, total: round(performance.now() - began) });
  return mark;
}
