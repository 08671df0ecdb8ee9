import { GantryError } from "../model/errors.ts";
import { UsageError } from "./command.ts";

/** The exit status of a command that failed, when the command itself has none of its own. */
export function exitStatusOf(error: unknown, failure = 1): number {
  if (error instanceof GantryError && error.exitStatus !== undefined) return error.exitStatus;
  return failure;
}

/** One line for people. */
export function messageOf(error: unknown, name?: string): string {
  const text = (error instanceof Error ? error.message : String(error)).replace(/\s*\n\s*/g, " / ");
  const more =
    error instanceof UsageError ? ` (see "gantry ${name === undefined ? "" : `${name} `}--help")` : "";
  return `gantry: ${text}${more}\n`;
}
