import type { Stats } from "../ports/supervisor.ts";
import { type Context, liveOf } from "./context.ts";

/** See ports/engine.ts. Of the workload, whatever the wall. */
export async function stats(
  context: Context,
  project: string,
  reference: string,
): Promise<Stats & { time: number; onlineCpus: number }> {
  const record = context.state.findInstance(project, reference);
  const usage = await liveOf(context, record).supervisor.stats(record.id);
  return { ...usage, time: Date.now(), onlineCpus: context.limitFacts.cpus };
}

/** Sets the size of the terminal of a running workload. */
export async function resize(
  context: Context,
  project: string,
  reference: string,
  rows: number,
  columns: number,
): Promise<void> {
  const record = context.state.findInstance(project, reference);
  await liveOf(context, record).supervisor.resize(record.id, rows, columns);
}
