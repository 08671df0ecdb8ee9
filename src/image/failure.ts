import { GantryError } from "../model/errors.ts";

const full = new Set(["ENOSPC", "EDQUOT"]);

/**
 * What a failed step becomes: a full disk (by error code, or told by a child program) is `exhausted`,
 * a GantryError stays, anything else is `internal` with `what` before its message.
 */
export function failure(what: string, thrown: unknown): GantryError {
  const error = thrown as NodeJS.ErrnoException;
  if (full.has(error?.code ?? "") || /No space left on device|Disk quota exceeded/.test(error?.message ?? ""))
    return new GantryError("exhausted", `${what}: the disk is full; free some space and try again`, {
      cause: thrown,
    });
  if (thrown instanceof GantryError) return thrown;
  return new GantryError("internal", `${what}: ${error?.message ?? String(thrown)}`, { cause: thrown });
}

/** Runs `step` and turns what it throws by `failure`. */
export async function failing<T>(what: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw failure(what, error);
  }
}
