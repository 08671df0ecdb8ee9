import type { Progress } from "../../ports/image.ts";

type Step = Parameters<Progress>[0];

/**
 * Runs long work and yields its progress as lines, then `{result}`. Only the newest progress of a step is kept
 * for a slow reader, so that memory stays bounded. The work goes on when the reader leaves.
 */
export async function* workLines<T>(work: (progress: Progress) => Promise<T>): AsyncGenerator<unknown> {
  let pending: Step[] = [];
  let wake = () => {};
  let finished = false;
  const done = work((step) => {
    const last = pending.at(-1);
    if (last?.step === step.step) pending[pending.length - 1] = step;
    else if (pending.length < 64) pending.push(step);
    wake();
  }).finally(() => {
    finished = true;
    wake();
  });
  done.catch(() => {}); // awaited below, unless the reader leaves first
  while (!finished || pending.length > 0) {
    if (pending.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (finished) resolve();
      });
      continue;
    }
    const steps = pending;
    pending = [];
    for (const progress of steps) yield { progress };
  }
  yield { result: await done };
}
