import { GantryError } from "../model/errors.ts";
import type { ImageConfig } from "../model/oci.ts";

type Settings = NonNullable<ImageConfig["config"]>;

/** The words of a shell-form line: quotes and backslashes as a Dockerfile's ENV and LABEL read them. */
function words(text: string, what: string): string[] {
  const found: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let at = 0; at < text.length; at++) {
    const c = text[at] as string;
    if (quote === "" && /\s/.test(c)) {
      if (word !== undefined) found.push(word);
      word = undefined;
    } else if (c === quote) quote = "";
    else if (quote === "" && (c === '"' || c === "'")) {
      quote = c;
      word ??= "";
    } else if (c === "\\" && quote !== "'" && at + 1 < text.length) word = (word ?? "") + text[++at];
    else word = (word ?? "") + c;
  }
  if (quote !== "") throw new GantryError("invalid", `${what} has an open quote`);
  if (word !== undefined) found.push(word);
  return found;
}

/** `KEY=value …`, or the old `KEY the rest`. */
function pairs(text: string, what: string): [string, string][] {
  const list = words(text, what);
  if (!list[0]?.includes("=")) {
    const [, key, value] = /^(\S+)\s+(.*)$/s.exec(text) ?? [];
    if (key === undefined) throw new GantryError("invalid", `${what} needs KEY=VALUE`);
    return [[key, value ?? ""]];
  }
  return list.map((word) => {
    const equals = word.indexOf("=");
    if (equals <= 0) throw new GantryError("invalid", `${what} needs KEY=VALUE, not ${JSON.stringify(word)}`);
    return [word.slice(0, equals), word.slice(equals + 1)];
  });
}

/** A JSON array of strings, or undefined when the text is not one. */
function jsonList(text: string): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((part) => typeof part === "string") ? value : undefined;
  } catch {
    return undefined;
  }
}

const shell = (text: string): string[] => jsonList(text) ?? ["/bin/sh", "-c", text];
const list = (text: string, what: string): string[] => jsonList(text) ?? words(text, what);

/**
 * Applies `--change` instructions in a Dockerfile's words to image settings: CMD, ENTRYPOINT, ENV, WORKDIR, USER,
 * LABEL, EXPOSE, VOLUME, STOPSIGNAL. Throws `invalid` for another instruction or a missing argument.
 */
export function applyChanges(settings: Settings, changes: readonly string[]): Settings {
  const made: Settings = { ...settings };
  for (const change of changes) {
    const [, instruction = "", text = ""] = /^\s*([A-Za-z]+)\s*(.*?)\s*$/s.exec(change) ?? [];
    const what = `change ${JSON.stringify(change.slice(0, 200))}`;
    if (text === "") throw new GantryError("invalid", `${what} needs an instruction and its argument`);
    switch (instruction.toUpperCase()) {
      case "CMD":
        made.Cmd = shell(text);
        break;
      case "ENTRYPOINT":
        made.Entrypoint = shell(text);
        break;
      case "ENV":
        for (const [key, value] of pairs(text, what))
          made.Env = [...(made.Env ?? []).filter((have) => !have.startsWith(`${key}=`)), `${key}=${value}`];
        break;
      case "LABEL":
        for (const [key, value] of pairs(text, what)) made.Labels = { ...made.Labels, [key]: value };
        break;
      case "WORKDIR":
        if (!text.startsWith("/")) throw new GantryError("invalid", `${what} needs an absolute path`);
        made.WorkingDir = text;
        break;
      case "USER":
        made.User = text;
        break;
      case "STOPSIGNAL":
        made.StopSignal = text;
        break;
      case "EXPOSE":
        for (const word of words(text, what)) {
          const [, port, protocol = "tcp"] = /^([0-9]{1,5})(?:\/(tcp|udp))?$/.exec(word) ?? [];
          if (port === undefined || Number(port) < 1 || Number(port) > 65535)
            throw new GantryError(
              "invalid",
              `${what}: ${JSON.stringify(word)} is no port; write 80 or 53/udp`,
            );
          made.ExposedPorts = { ...made.ExposedPorts, [`${Number(port)}/${protocol}`]: {} };
        }
        break;
      case "VOLUME":
        for (const path of list(text, what)) made.Volumes = { ...made.Volumes, [path]: {} };
        break;
      default:
        throw new GantryError(
          "invalid",
          `${what}: ${instruction || "this"} cannot be changed; use CMD, ENTRYPOINT, ENV, WORKDIR, USER, LABEL, EXPOSE, VOLUME or STOPSIGNAL`,
        );
    }
  }
  return made;
}
