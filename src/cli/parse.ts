import { type Command, type Flag, type Flags, UsageError } from "./command.ts";
import { nearest } from "./nearest.ts";

export interface Parsed {
  args: string[];
  flags: Record<string, boolean | string | string[] | undefined>;
  /** `--help` was asked for. */
  help: boolean;
}

type Spec = Pick<Command, "flags" | "later" | "stopAtPositional">;

const truth: Readonly<Record<string, boolean>> = {
  "1": true,
  t: true,
  true: true,
  TRUE: true,
  True: true,
  "0": false,
  f: false,
  false: false,
  FALSE: false,
  False: false,
};

function parseBool(name: string, text: string): boolean {
  const value = truth[text];
  if (value === undefined) throw new UsageError(`--${name} is true or false, not ${JSON.stringify(text)}`);
  return value;
}

function unknown(spec: Spec, shown: string, name: string): UsageError {
  const later = spec.later && Object.hasOwn(spec.later, name) ? spec.later[name] : undefined;
  if (later !== undefined)
    return new UsageError(`${shown} is not supported yet${later === "" ? "" : `: ${later}`}`);
  const meant = nearest(
    name,
    Object.keys(spec.flags).filter((key) => !spec.flags[key]!.hidden),
  );
  return new UsageError(`unknown flag ${shown}${meant === undefined ? "" : `; did you mean --${meant}?`}`);
}

/**
 * Reads a command line by the command's table, with the conventions of Docker's:
 * `--flag=value`, `--flag value`, `-it`, `-p80:80`, `--` ends the flags. Throws UsageError.
 */
export function parse(spec: Spec, argv: readonly string[]): Parsed {
  const flags: Parsed["flags"] = {};
  const shorts = new Map<string, string>();
  for (const [name, flag] of Object.entries(spec.flags as Flags)) {
    if (flag.kind === "list") flags[name] = [];
    if (flag.short) shorts.set(flag.short, name);
  }
  const args: string[] = [];
  let help = false;

  const set = (name: string, flag: Flag, text: string) => {
    if (flag.kind === "bool") flags[name] = parseBool(name, text);
    else if (flag.kind === "list") (flags[name] as string[]).push(text);
    else flags[name] = text;
  };
  const next = (at: number, shown: string): string => {
    const text = argv[at];
    if (text === undefined) throw new UsageError(`${shown} needs a value`);
    return text;
  };

  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === "--") {
      args.push(...argv.slice(i + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      if (spec.stopAtPositional) {
        args.push(...argv.slice(i));
        break;
      }
      args.push(word);
      continue;
    }
    if (word.startsWith("--")) {
      const equals = word.indexOf("=");
      const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
      if (name === "help") {
        help = true;
        continue;
      }
      const flag = Object.hasOwn(spec.flags, name) ? spec.flags[name] : undefined;
      if (!flag) throw unknown(spec, `--${name}`, name);
      if (equals >= 0) set(name, flag, word.slice(equals + 1));
      else if (flag.kind === "bool") flags[name] = true;
      else set(name, flag, next(++i, `--${name}`));
      continue;
    }
    for (let at = 1; at < word.length; at++) {
      const letter = word[at]!;
      const name = shorts.get(letter);
      if (name === undefined) {
        if (letter === "h" && at === 1) {
          help = true;
          continue;
        }
        throw unknown(spec, `-${letter}`, letter);
      }
      const flag = spec.flags[name]!;
      let rest = word.slice(at + 1);
      if (flag.kind === "bool") {
        if (!rest.startsWith("=")) {
          flags[name] = true;
          continue;
        }
        set(name, flag, rest.slice(1));
        break;
      }
      if (rest.startsWith("=")) rest = rest.slice(1);
      else if (rest === "") rest = next(++i, `-${letter}`);
      set(name, flag, rest);
      break;
    }
  }
  return { args, flags, help };
}

/** Checks the number of positional arguments. */
export function checkCount(name: string, command: Pick<Command, "args">, given: number): void {
  const [least, most] = command.args;
  if (given >= least && given <= most) return;
  const plural = (n: number) => `${n} argument${n === 1 ? "" : "s"}`;
  const wants =
    least === most
      ? least === 0
        ? "takes no arguments"
        : `takes exactly ${plural(least)}`
      : given < least
        ? `needs at least ${plural(least)}`
        : `takes at most ${plural(most)}`;
  throw new UsageError(`"gantry ${name}" ${wants}, not ${given}`);
}
