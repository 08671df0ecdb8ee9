import type { InstanceRecord } from "../model/instance.ts";
import { type Context, emit, instanceOf, isActive, update } from "./context.ts";
import { forgetRestart } from "./restart-policy.ts";
import { startLocked } from "./start.ts";
import { stopLocked } from "./stop.ts";

/** See ports/engine.ts. An instance that does not run is started; `--rm` does not count in between. */
export async function restart(
  context: Context,
  project: string,
  reference: string,
  timeout?: number,
): Promise<InstanceRecord> {
  const { id } = context.state.findInstance(project, reference);
  return await context.lock.run(id, async () => {
    const { autoRemove } = instanceOf(context, id).config;
    const setRemoval = (value: boolean) => {
      const record = instanceOf(context, id);
      if (autoRemove) update(context, id, { config: { ...record.config, autoRemove: value } });
    };
    if (isActive(instanceOf(context, id))) {
      setRemoval(false);
      try {
        await stopLocked(context, id, timeout);
      } finally {
        setRemoval(true);
      }
    }
    forgetRestart(context, id);
    if (instanceOf(context, id).state !== "broken")
      update(context, id, { stoppedByUser: false, restartCount: 0 });
    const record = await startLocked(context, id);
    emit(context, record, "restart");
    return record;
  });
}
