import { Api } from "../client/api.ts";
import { type Paths, resolvePaths } from "../lib/paths.ts";
import { defaultProject } from "../model/ids.ts";
import { bool, type Context, type Flags, type FlagValues, UsageError, value } from "./command.ts";
import { exitStatusOf, messageOf } from "./fail.ts";
import { checkCount, parse } from "./parse.ts";
import { complain, flush, print } from "./stdio.ts";
import { findCommand, nouns, table } from "./table.ts";

const globalFlags = {
  root: value("FOLDER", ""),
  run: value("FOLDER", ""),
  project: value("NAME", ""),
  version: bool("", { short: "v" }),
} as const satisfies Flags;

async function unknownCommand(words: readonly string[]): Promise<UsageError> {
  const { nearest } = await import("./nearest.ts");
  const isNoun = nouns.has(words[0]!);
  const word = isNoun ? words.slice(0, 2).join(" ") : words[0]!;
  const meant = nearest(word, [...Object.keys(table), ...nouns]);
  return new UsageError(
    `unknown command ${JSON.stringify(word.slice(0, 80))}${meant === undefined ? "" : `; did you mean ${JSON.stringify(meant)}?`}`,
  );
}

async function showHelp(words: readonly string[]): Promise<void> {
  const help = await import("./help.ts");
  const found = findCommand(words);
  if (found) return print(help.commandHelp(found.name, (await found.entry.load()).default));
  if (words[0] === undefined) return print(help.overview());
  if (nouns.has(words[0]) && (words[1] === undefined || words[1].startsWith("-")))
    return print(help.nounOverview(words[0]));
  throw await unknownCommand(words);
}

class RunContext implements Context {
  readonly paths: Paths;
  readonly project: string;
  readonly runDaemon: Context["runDaemon"];
  #api: Api | undefined;

  constructor(paths: Paths, project: string, runDaemon: Context["runDaemon"]) {
    this.paths = paths;
    this.project = project;
    this.runDaemon = runDaemon;
  }

  get api(): Api {
    this.#api ??= new Api({
      socket: this.paths.socket,
      project: this.project,
      onRefused: async () => (await import("./engine-start.ts")).startEngine(this.paths),
    });
    return this.#api;
  }
}

/** What a command line came to: its status, or what is needed to tell of its failure. */
interface Progress {
  name?: string;
  failure?: number;
}

async function dispatch(
  words: readonly string[],
  flags: FlagValues<typeof globalFlags>,
  runDaemon: Context["runDaemon"],
  progress: Progress,
): Promise<number> {
  const project = flags.project ?? (process.env.GANTRY_PROJECT || defaultProject);
  const context = new RunContext(resolvePaths(flags), project, runDaemon);
  if (words[0] === "__complete") {
    const { complete } = await import("./complete.ts");
    await complete(context, words.slice(1));
    return 0;
  }
  const found = findCommand(words);
  if (!found) {
    // A noun by itself shows its verbs; all else is unknown, which this tells.
    await showHelp(words);
    return 0;
  }
  progress.name = found.name;
  const { default: command } = await found.entry.load();
  progress.failure = command.failure;
  const parsed = parse(command, words.slice(found.used));
  if (parsed.help) {
    await showHelp(found.name.split(" "));
    return 0;
  }
  checkCount(found.name, command, parsed.args.length);
  return (await command.run(context, parsed.args, parsed.flags as FlagValues<Flags>)) ?? 0;
}

async function runLine(
  argv: readonly string[],
  runDaemon: Context["runDaemon"],
  progress: Progress,
): Promise<number> {
  const { args: words, flags: given, help } = parse({ flags: globalFlags, stopAtPositional: true }, argv);
  const flags = given as FlagValues<typeof globalFlags>;
  if (help || words[0] === "help") {
    await showHelp(words[0] === "help" ? words.slice(1) : words);
    return 0;
  }
  if (flags.version) {
    const { version } = await import("../lib/version.ts");
    await print(`gantry ${version}\n`);
    return 0;
  }
  if (words[0] !== undefined) return dispatch(words, flags, runDaemon, progress);
  const { overview } = await import("./help.ts");
  complain(overview());
  return 1;
}

/** Runs one command line; resolves to the exit status when all output has been written. */
export async function runCli(argv: readonly string[], runDaemon: Context["runDaemon"]): Promise<number> {
  const progress: Progress = {};
  let status: number;
  try {
    status = await runLine(argv, runDaemon, progress);
  } catch (error) {
    complain(messageOf(error, progress.name));
    status = exitStatusOf(error, progress.failure);
  }
  await flush();
  return status;
}
