import { type Context, isActive, type Outcome } from "./context.ts";

/** Tells everybody who waits for this instance. */
export function notify(context: Context, id: string, what: "exit" | "removed", outcome: Outcome): void {
  for (const waiter of [...(context.waiters.get(id) ?? [])]) waiter(what, outcome);
}

/** See ports/engine.ts. */
export async function wait(
  context: Context,
  project: string,
  reference: string,
  condition: "not-running" | "next-exit" | "removed",
): Promise<Outcome> {
  const record = context.state.findInstance(project, reference);
  const last = (): Outcome => ({
    exitCode: record.exitCode ?? 0,
    oomKilled: record.oomKilled,
    ...(record.error && { error: record.error }),
  });
  const runs = isActive(record) || record.state === "starting";
  if (condition === "not-running" && !runs) return last();
  let seen = last();
  return await new Promise((resolve) => {
    const waiters = context.waiters.get(record.id) ?? new Set();
    context.waiters.set(record.id, waiters);
    const waiter = (what: "exit" | "removed", outcome: Outcome) => {
      if (what === "exit") seen = outcome;
      if (what === "exit" && condition === "removed") return;
      waiters.delete(waiter);
      if (waiters.size === 0) context.waiters.delete(record.id);
      resolve(seen);
    };
    waiters.add(waiter);
  });
}
