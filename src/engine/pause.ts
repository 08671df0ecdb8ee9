import { GantryError } from "../model/errors.ts";
import { type Context, emit, instanceOf, liveOf, update } from "./context.ts";

/** See ports/engine.ts. */
export async function pause(context: Context, project: string, reference: string): Promise<void> {
  const { id } = context.state.findInstance(project, reference);
  await context.lock.run(id, async () => {
    const record = instanceOf(context, id);
    if (record.state === "paused")
      throw new GantryError("conflict", `instance ${record.name} is paused already`);
    await liveOf(context, record).supervisor.pause(id);
    emit(context, update(context, id, { state: "paused" }), "pause");
  });
}

/** See ports/engine.ts. */
export async function unpause(context: Context, project: string, reference: string): Promise<void> {
  const { id } = context.state.findInstance(project, reference);
  await context.lock.run(id, async () => {
    const record = instanceOf(context, id);
    if (record.state !== "paused")
      throw new GantryError("conflict", `instance ${record.name} is not paused: it is ${record.state}`);
    await liveOf(context, record).supervisor.resume(id);
    emit(context, update(context, id, { state: "running" }), "unpause");
  });
}
