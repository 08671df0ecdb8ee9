import { posix } from "node:path";

/** One side of a copy. */
export type Side =
  | { kind: "stdio" }
  | { kind: "local"; path: string }
  | { kind: "instance"; reference: string; path: string };

/** Reads `INSTANCE:PATH`, a local path, or `-`. A path with a colon is written with `./` or `/` before it. */
export function parseSide(text: string): Side {
  if (text === "-") return { kind: "stdio" };
  const colon = text.indexOf(":");
  if (colon <= 0 || text.startsWith("/") || text.startsWith(".")) return { kind: "local", path: text };
  return {
    kind: "instance",
    reference: text.slice(0, colon),
    path: `/${text.slice(colon + 1).replace(/^\/+/, "")}`,
  };
}

/** `/a/b/.`: what is in the folder, not the folder itself. */
export const meansContent = (path: string): boolean => path === "." || path.endsWith("/.");

/** `/a/b/` and `/a/b/.` must be folders. */
export const mustBeFolder = (path: string): boolean => path.endsWith("/") || meansContent(path);

/** Without the trailing `/` or `/.`; the root stays. */
export function bare(path: string): string {
  const cut = posix.normalize(path).replace(/(.)\/+$/, "$1");
  return cut;
}

/** What a target is found to be. */
export interface Target {
  exists: boolean;
  folder: boolean;
}

/** Where a copy goes: the folder to unpack into, and the name there ("" for the content itself). */
export interface Placement {
  folder: string;
  name: string;
}

/**
 * Docker's rules: into an existing folder under the source's name (or its content, with `/.`), onto an
 * existing file, or under a new name in a folder that exists. Answers why not as a text.
 */
export function place(
  source: { name: string; folder: boolean; content: boolean },
  path: string,
  target: Target,
): Placement | string {
  const clean = bare(path);
  const { dir, base } = posix.parse(clean);
  const parent = dir === "" ? "." : dir;
  if (target.exists && target.folder) return { folder: clean, name: source.content ? "" : source.name };
  if (target.exists) {
    if (mustBeFolder(path)) return `${clean} is not a folder`;
    if (source.folder) return `${clean} is a file: a folder cannot be copied onto it`;
    return { folder: parent, name: base };
  }
  if (!source.folder && mustBeFolder(path)) return `the folder ${clean} does not exist`;
  return { folder: parent, name: base };
}
