import { createInterface } from "node:readline";
import { UsageError } from "./command.ts";

/** Asks on the terminal; without one `--force` must say yes. */
export async function confirm(what: string): Promise<boolean> {
  if (!process.stdin.isTTY) throw new UsageError(`${what}: say --force to do this without being asked`);
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await new Promise<string>((resolve) => {
      lines.once("close", () => resolve(""));
      lines.question(`${what}. Go on? [y/N] `, resolve);
    });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}
