import type { InstanceRecord } from "../model/instance.ts";
import { type Context, update } from "./context.ts";
import { startLocked } from "./start.ts";

const firstDelay = 100;
const longestDelay = 60_000;
/** An instance that ran this long begins again with the shortest pause. */
const calm = 10_000;

/** Does its policy want the instance again after this exit? Pure. */
export function wantsRestart(record: InstanceRecord, exitCode: number): boolean {
  const { name, maxRetries } = record.config.restart;
  if (record.stoppedByUser) return false;
  if (name === "always" || name === "unless-stopped") return true;
  return name === "on-failure" && exitCode !== 0 && (maxRetries === 0 || record.restartCount < maxRetries);
}

/** The pause before the next start: 100 ms, doubled each time up to a minute. Pure. */
export const nextDelay = (before: number | undefined, ranFor: number): number =>
  before === undefined || ranFor >= calm ? firstDelay : Math.min(before * 2, longestDelay);

/** Sets the next start when the policy wants one, and tells whether it did. */
export function scheduleRestart(context: Context, record: InstanceRecord, exitCode: number): boolean {
  if (!wantsRestart(record, exitCode) || record.config.autoRemove) {
    forgetRestart(context, record.id);
    return false;
  }
  const ranFor = Date.now() - (record.startedAt ?? Date.now());
  const delay = nextDelay(context.restarts.get(record.id)?.delay, ranFor);
  armRestart(context, record.id, delay);
  return true;
}

export function armRestart(context: Context, id: string, delay: number): void {
  clearTimeout(context.restarts.get(id)?.timer);
  const timer = setTimeout(() => {
    context.ready.promise
      .then(() => (context.closing ? undefined : context.lock.run(id, () => fire(context, id))))
      .catch((error: Error) => console.error(`gantry: restart of ${id.slice(0, 12)}: ${error.message}`));
  }, delay);
  context.restarts.set(id, { timer, delay });
}

async function fire(context: Context, id: string): Promise<void> {
  const record = context.state.instances.get(id);
  if (record?.state !== "restarting") return;
  update(context, id, { restartCount: record.restartCount + 1 });
  await startLocked(context, id);
}

/** No start is due any more, and the next one begins with the shortest pause. */
export function forgetRestart(context: Context, id: string): void {
  clearTimeout(context.restarts.get(id)?.timer);
  context.restarts.delete(id);
}
