import type { Api } from "../client/api.ts";
import type { Paths } from "../lib/paths.ts";

/** One flag. `list` may be given many times; of a `value` the last one counts. */
export interface Flag {
  kind: "bool" | "value" | "list";
  help: string;
  /** One letter. */
  short?: string;
  /** What to call its value in the help. */
  value?: string;
  /** Kept for old habits; not in the help. */
  hidden?: boolean;
  /** What the shell's completion offers. */
  completes?: Completes | readonly string[];
}

export type Flags = Readonly<Record<string, Flag>>;

/** Kinds of names that the completion looks up. */
export type Completes = "instance" | "running" | "image" | "volume" | "file" | "command" | "none";

type ValueOf<F extends Flag> = F["kind"] extends "bool"
  ? boolean | undefined
  : F["kind"] extends "list"
    ? string[]
    : string | undefined;

/** The values of a command's flags, by their long names. */
export type FlagValues<F extends Flags> = { [K in keyof F]: ValueOf<F[K]> };

/** What every command is given. */
export interface Context {
  paths: Paths;
  project: string;
  /** The engine; started by the first call if it does not run. */
  api: Api;
  /** Serves in this process until it is told to stop. */
  runDaemon(paths: Paths, options: { cleanUp?: boolean }): Promise<void>;
}

export interface Command<F extends Flags = Flags> {
  /** After `gantry NAME`: "[flags] IMAGE [COMMAND] [ARG...]". */
  usage: string;
  /** What it does, one to three sentences. */
  about: string;
  flags: F;
  /** Known flags of other engines that are refused by name. */
  later?: Readonly<Record<string, string>>;
  /** Least and most positional arguments. */
  args: readonly [number, number];
  /** Flags end at the first positional argument: what follows belongs to the command inside. */
  stopAtPositional?: boolean;
  /** Command lines with what they do. */
  examples: readonly (readonly [line: string, what: string])[];
  /** Exit status of usage and engine errors, 1 when absent. */
  failure?: number;
  /** Returns the exit status, 0 when nothing. */
  run(context: Context, args: string[], flags: FlagValues<F>): Promise<number | undefined>;
}

/** Checks a command's types; the table holds it as a plain Command. */
export const command = <const F extends Flags>(definition: Command<F>): Command =>
  definition as unknown as Command;

type Extra = Omit<Flag, "kind" | "help" | "value">;

/** A flag that is there or not. */
export const bool = (help: string, extra: Extra = {}): Flag & { kind: "bool" } => ({
  kind: "bool",
  help,
  ...extra,
});
/** A flag with a value; the last one counts. */
export const value = (name: string, help: string, extra: Extra = {}): Flag & { kind: "value" } => ({
  kind: "value",
  value: name,
  help,
  ...extra,
});
/** A flag that may be given many times. */
export const list = (name: string, help: string, extra: Extra = {}): Flag & { kind: "list" } => ({
  kind: "list",
  value: name,
  help,
  ...extra,
});

/** A usage error's message says what is wrong; the caller adds where to read more. */
export class UsageError extends Error {}
