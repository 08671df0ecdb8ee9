import type { Completes, Flag } from "../command.ts";
import { nouns, table } from "../table.ts";

/** What a completion script must know of a command. */
export interface CompletedCommand {
  /** "run" or "image ls". */
  name: string;
  summary: string;
  completes: Completes;
  /** The first positional argument only. */
  firstOnly: boolean;
  flags: [name: string, flag: Flag][];
}

/** Loads every command; only for `gantry completion`. */
export async function completedCommands(): Promise<CompletedCommand[]> {
  return Promise.all(
    Object.entries(table).map(async ([name, entry]) => {
      const { default: command } = await entry.load();
      return {
        name,
        summary: entry.summary,
        completes: entry.completes,
        firstOnly: command.stopAtPositional === true || command.args[1] === 1,
        flags: Object.entries(command.flags).filter(([, flag]) => !flag.hidden),
      };
    }),
  );
}

/** First words of a command line, with what they do. */
export function firstWords(commands: readonly CompletedCommand[]): [word: string, summary: string][] {
  const words: [string, string][] = commands
    .filter(({ name }) => !name.includes(" "))
    .map(({ name, summary }) => [name, summary]);
  for (const noun of nouns) if (noun !== "container") words.push([noun, `Commands for ${noun}s`]);
  words.push(["help", "Show the help of a command"]);
  return words;
}

/** Flags as they are typed. */
export const spellings = (name: string, flag: Flag): string[] =>
  flag.short ? [`-${flag.short}`, `--${name}`] : [`--${name}`];

export const isFixed = (completes: Flag["completes"]): completes is readonly string[] =>
  Array.isArray(completes);
