import { readFileSync } from "node:fs";
import { UsageError } from "../command.ts";

/** `KEY=value`, or `KEY` to take it from our own environment (nothing when it is not there). */
function fromOwn(text: string, own: NodeJS.ProcessEnv): string[] {
  if (text.includes("=")) return [text];
  return own[text] === undefined ? [] : [`${text}=${own[text]}`];
}

function readLines(flag: string, path: string): string[] {
  try {
    return readFileSync(path, "utf8")
      .replace(/^\uFEFF/, "")
      .split(/\r?\n/);
  } catch (error) {
    throw new UsageError(`${flag} ${path} cannot be read: ${(error as Error).message}`);
  }
}

/** The environment of `--env-file` and `-e`, files first, so that a later word wins. */
export function parseEnv(files: readonly string[], words: readonly string[], own = process.env): string[] {
  const result: string[] = [];
  for (const path of files)
    for (const [i, line] of readLines("--env-file", path).entries()) {
      const text = line.trimStart();
      if (text === "" || text.startsWith("#")) continue;
      const name = text.split("=", 1)[0]!;
      if (name === "" || /\s/.test(name))
        throw new UsageError(
          `--env-file ${path}, line ${i + 1}: ${JSON.stringify(name)} is no variable's name`,
        );
      result.push(...fromOwn(text, own));
    }
  for (const word of words) {
    if (word === "" || word.startsWith("="))
      throw new UsageError(`-e ${JSON.stringify(word)} names no variable`);
    result.push(...fromOwn(word, own));
  }
  return result;
}

/** `KEY=value` or `KEY` into a record. */
export function parseLabels(flag: string, words: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const word of words) {
    const equals = word.indexOf("=");
    const key = equals < 0 ? word : word.slice(0, equals);
    if (key === "") throw new UsageError(`${flag} ${JSON.stringify(word)} names no label`);
    labels[key] = equals < 0 ? "" : word.slice(equals + 1);
  }
  return labels;
}

/** `NAME=VALUE` filters, as the API takes them. */
export function parseFilters(words: readonly string[], known: readonly string[]): Record<string, string[]> {
  const filters: Record<string, string[]> = {};
  for (const word of words) {
    const equals = word.indexOf("=");
    const key = equals < 0 ? word : word.slice(0, equals);
    if (equals < 0 || !known.includes(key))
      throw new UsageError(
        `--filter takes NAME=VALUE with one of ${known.join(", ")}, not ${JSON.stringify(word)}`,
      );
    filters[key] ??= [];
    filters[key].push(word.slice(equals + 1));
  }
  return filters;
}
