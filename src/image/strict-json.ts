import { GantryError } from "../model/errors.ts";

const depthLimit = 64;

/**
 * Parses JSON from an image or archive: bounded depth, valid UTF-8, and no object with a key twice or named
 * `__proto__`, on which readers disagree. Throws `corrupt` naming `what`.
 */
export function parseStrictJson(bytes: Uint8Array, what: string): unknown {
  const bad = (why: string, cause?: unknown) => new GantryError("corrupt", `${what} is ${why}`, { cause });
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (error) {
    throw bad("not valid JSON", error);
  }
  // The text is valid JSON from here on: only nesting and keys are to be watched.
  const open: (Set<string> | undefined)[] = [];
  let at = 0;
  let keyNext = false;
  while (at < text.length) {
    const c = text[at];
    if (c === "{" || c === "[") {
      if (open.push(c === "{" ? new Set() : undefined) > depthLimit)
        throw bad(`nested deeper than ${depthLimit}`);
      keyNext = c === "{";
    } else if (c === "}" || c === "]") {
      open.pop();
      keyNext = false;
    } else if (c === ",") {
      keyNext = open.at(-1) !== undefined;
    } else if (c === '"') {
      let end = at + 1;
      while (text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
      if (keyNext) {
        const key = JSON.parse(text.slice(at, end + 1)) as string;
        const keys = open.at(-1) as Set<string>;
        if (key === "__proto__") throw bad("using __proto__ as a key");
        if (keys.has(key)) throw bad(`using the key ${JSON.stringify(key.slice(0, 80))} twice in one object`);
        keys.add(key);
        keyNext = false;
      }
      at = end;
    }
    at++;
  }
  return value;
}
