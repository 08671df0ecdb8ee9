import { GantryError } from "../model/errors.ts";
import { type Context, emit, isActive, liveOf, update } from "./context.ts";
import { signalNumber } from "./signals.ts";
import { deliver, endNow } from "./stop.ts";
import { stopSignalOf } from "./view.ts";

const sigkill = 9;

/** See ports/engine.ts. Does not wait for a stop under way; SIGKILL resolves when the workload has ended. */
export async function kill(
  context: Context,
  project: string,
  reference: string,
  signal: string,
): Promise<void> {
  const number = signalNumber(signal);
  const record = context.state.findInstance(project, reference);
  if (!isActive(record))
    throw new GantryError("conflict", `instance ${record.name} is not running: nothing to signal`);
  const live = liveOf(context, record);
  if (number === sigkill || number === signalNumber(await stopSignalOf(context, record)))
    update(context, record.id, { stoppedByUser: true });
  emit(context, record, "kill", { signal: String(number) });
  await deliver(live, record.id, number, number === sigkill && record.state === "paused");
  if (number !== sigkill) return;
  await context.lock.run(record.id, async () => {
    const now = context.state.instances.get(record.id);
    if (now && now.generation === record.generation && isActive(now)) await endNow(context, record.id);
  });
}
