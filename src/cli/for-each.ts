import { GantryError } from "../model/errors.ts";
import { messageOf } from "./fail.ts";
import { complain, print } from "./stdio.ts";

/**
 * Does something to each of the named things and prints the names that it went well for.
 * All are tried; the result is 1 when one failed. Errors that `fine` accepts count as done, in silence.
 */
export async function forEach(
  names: readonly string[],
  action: (name: string) => Promise<unknown>,
  fine: (error: GantryError) => boolean = () => false,
): Promise<number> {
  let status = 0;
  for (const name of names) {
    try {
      await action(name);
      await print(`${name}\n`);
    } catch (error) {
      if (fine(GantryError.from(error))) continue;
      complain(messageOf(error));
      status = 1;
    }
  }
  return status;
}
