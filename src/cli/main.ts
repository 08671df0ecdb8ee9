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
  const meant = nearest(word, Object.keys(table));
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

/** Runs one command line; resolves to the exit status when all output has been written. */
export async function runCli(argv: readonly string[], runDaemon: Context["runDaemon"]): Promise<number> {
  let name: string | undefined;
  let failure: number | undefined;
  let status = 0;
  try {
    const global = parse({ flags: globalFlags, stopAtPositional: true }, argv);
    const flags = global.flags as FlagValues<typeof globalFlags>;
    const words = global.args;
    if (global.help || words[0] === "help") {
      await showHelp(words[0] === "help" ? words.slice(1) : words);
    } else if (flags.version) {
      const { version } = await import("../lib/version.ts");
      await print(`gantry ${version}\n`);
    } else if (words[0] === undefined) {
      const { overview } = await import("./help.ts");
      complain(overview());
      status = 1;
    } else {
      const paths = resolvePaths(flags);
      const project = flags.project ?? (process.env.GANTRY_PROJECT || defaultProject);
      const context = new RunContext(paths, project, runDaemon);
      if (words[0] === "__complete") {
        const { complete } = await import("./complete.ts");
        await complete(context, words.slice(1));
      } else {
        const found = findCommand(words);
        if (
          !found &&
          nouns.has(words[0]) &&
          (words[1] === undefined || words[1] === "--help" || words[1] === "-h")
        ) {
          await showHelp(words);
        } else if (!found) throw await unknownCommand(words);
        else {
          name = found.name;
          const command = (await found.entry.load()).default;
          failure = command.failure;
          const parsed = parse(command, words.slice(found.used));
          if (parsed.help) await showHelp([...name.split(" ")]);
          else {
            checkCount(name, command, parsed.args.length);
            status = (await command.run(context, parsed.args, parsed.flags as FlagValues<Flags>)) ?? 0;
          }
        }
      }
    }
  } catch (error) {
    complain(messageOf(error, name));
    status = exitStatusOf(error, failure);
  }
  await flush();
  return status;
}
