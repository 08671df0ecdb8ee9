import { GantryError } from "../../model/errors.ts";
import type { Entry } from "./header.ts";

/** A path within an archive without `./`, leading and trailing slashes; throws for one that climbs out. */
function clean(name: string): string[] {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes(".."))
    throw new GantryError(
      "corrupt",
      `the archive names ${JSON.stringify(name.slice(0, 200))}, which climbs out of it`,
    );
  return parts;
}

/** Replaces the first `depth` parts of a path by `to`. */
function moved(name: string, base: readonly string[], to: readonly string[]): string {
  const parts = clean(name);
  if (base.some((part, i) => parts[i] !== part))
    throw new GantryError(
      "corrupt",
      `the archive names ${JSON.stringify(name.slice(0, 200))}, which is not below ${base.join("/")}`,
    );
  return [...to, ...parts.slice(base.length)].join("/");
}

export interface RenameRules {
  /** What every entry must be named below; "" for anything. */
  base: string;
  /** What it is named instead; "" puts the content itself at the top. */
  to: string;
  /** Keep owners, setuid and setgid bits. */
  archive: boolean;
  /** Told of entries that are left out. */
  leftOut: (name: string, why: string) => void;
}

/** The change for `rewriteTar` that renames the copied thing and keeps what could harm the other side out. */
export function renamer({ base, to, archive, leftOut }: RenameRules): (entry: Entry) => Entry | undefined {
  const from = clean(base);
  const target = clean(to);
  return (entry) => {
    const name = moved(entry.name, from, target);
    if (name === "") return undefined; // the folder itself: it is there already
    if (!["0", "1", "2", "5"].includes(entry.type)) {
      leftOut(name, "it is a device, a pipe or a socket");
      return undefined;
    }
    return {
      ...entry,
      name: entry.type === "5" ? `${name}/` : name,
      linkName: entry.type === "1" ? moved(entry.linkName, from, target) : entry.linkName,
      mode: archive ? entry.mode : entry.mode & 0o1777,
    };
  };
}
