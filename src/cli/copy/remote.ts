import { posix } from "node:path";
import type { Api } from "../../client/api.ts";
import { GantryError } from "../../model/errors.ts";
import type { PathStat } from "../../ports/supervisor.ts";
import type { Target } from "./names.ts";

const typeBits = 0o170000;
const linkLimit = 40;

export const isFolder = (stat: PathStat): boolean => (stat.mode & typeBits) === 0o040000;
const isLink = (stat: PathStat): boolean => (stat.mode & typeBits) === 0o120000;

/** A path inside with the symbolic links of its last part followed; undefined when it leads nowhere. */
export async function follow(
  api: Api,
  reference: string,
  path: string,
): Promise<{ path: string; stat: PathStat } | undefined> {
  let at = path;
  for (let i = 0; i < linkLimit; i++) {
    let stat: PathStat;
    try {
      stat = await api.statPath(reference, at);
    } catch (error) {
      if (error instanceof GantryError && error.code === "not_found") {
        // A missing instance is not a missing file.
        await api.inspect(reference);
        return undefined;
      }
      throw error;
    }
    if (!isLink(stat)) return { path: at, stat };
    at = posix.resolve(posix.dirname(at), stat.linkTarget);
  }
  throw new GantryError("invalid", `${path} leads through more than ${linkLimit} symbolic links`);
}

/** What is at a path inside. */
export async function remoteTarget(
  api: Api,
  reference: string,
  path: string,
): Promise<Target & { path: string }> {
  const found = await follow(api, reference, path);
  return found
    ? { exists: true, folder: isFolder(found.stat), path: found.path }
    : { exists: false, folder: false, path };
}
