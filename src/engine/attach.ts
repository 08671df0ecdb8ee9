import { GantryError } from "../model/errors.ts";
import type { InstanceRecord } from "../model/instance.ts";
import type { Session } from "../ports/supervisor.ts";
import { type AttachStreams, type Context, emit, type Live } from "./context.ts";
import { RelaySession } from "./relay.ts";

/** Attaches that may wait for one instance's start. */
const heldLimit = 64;

/** See ports/engine.ts. */
export async function attach(
  context: Context,
  project: string,
  reference: string,
  streams: AttachStreams,
): Promise<Session> {
  const record = context.state.findInstance(project, reference);
  if (record.state === "paused")
    throw new GantryError("conflict", `instance ${record.name} is paused: unpause it before attaching`);
  if (record.state === "restarting" || record.state === "removing" || record.state === "broken")
    throw new GantryError("conflict", `instance ${record.name} is ${record.state}: nothing to attach to`);
  emit(context, record, "attach");
  const live = context.live.get(record.sandboxId);
  if (live && record.state !== "created" && record.state !== "exited")
    return await live.supervisor.attach(record.id, streams);
  return hold(context, record, streams);
}

function hold(context: Context, record: InstanceRecord, streams: AttachStreams): Session {
  const waiting = context.held.get(record.id) ?? new Set();
  if (waiting.size >= heldLimit)
    throw new GantryError("exhausted", `${heldLimit} clients wait for ${record.name} to start already`);
  context.held.set(record.id, waiting);
  const entry = {
    streams,
    session: new RelaySession({
      onClose: () => {
        waiting.delete(entry);
        if (waiting.size === 0 && context.held.get(record.id) === waiting) context.held.delete(record.id);
      },
    }),
  };
  waiting.add(entry);
  return entry.session;
}

/** Gives waiting clients their streams, before the workload starts. */
export async function connectHeld(context: Context, record: InstanceRecord, live: Live): Promise<void> {
  const waiting = context.held.get(record.id);
  context.held.delete(record.id);
  for (const { session, streams } of waiting ?? []) {
    if (session.destroyed) continue;
    session.connect(await live.supervisor.attach(record.id, streams));
  }
}

/** The start failed, or the instance is gone: nobody waits any longer. */
export function dropHeld(context: Context, id: string): void {
  for (const { session } of [...(context.held.get(id) ?? [])]) session.abandon();
  context.held.delete(id);
}
