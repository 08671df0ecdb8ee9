import { messageOf } from "./fail.ts";
import { printInspected } from "./listing.ts";
import { complain } from "./stdio.ts";

/** Looks all the names up, prints what was found, complains about the rest; 1 when one failed. */
export async function inspectAll(
  names: readonly string[],
  look: (name: string) => Promise<unknown>,
  format: string | undefined,
): Promise<number> {
  const found: unknown[] = [];
  const failures: unknown[] = [];
  for (const name of names) {
    try {
      found.push(await look(name));
    } catch (error) {
      failures.push(error);
    }
  }
  await printInspected(found, format);
  for (const failure of failures) complain(messageOf(failure));
  return failures.length > 0 ? 1 : 0;
}
