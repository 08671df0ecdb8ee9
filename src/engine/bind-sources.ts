import { lstatSync, mkdirSync, realpathSync, statSync } from "node:fs";
import { dirname, resolve, sep } from "node:path";
import { GantryError } from "../model/errors.ts";
import type { InstanceRecord } from "../model/instance.ts";
import type { BindWant } from "./plan/plan.ts";

const isWithin = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder === sep ? sep : `${folder}${sep}`);

function realOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined; // missing, or a link that leads nowhere
  }
}

/** The path and all folders it names, outermost first. */
function prefixes(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [path] : [...prefixes(parent), path];
}

/** Host folders that workloads may write: the bind sources of these mounts and of all instances. */
export function writableSources(
  binds: readonly BindWant[],
  instances: Iterable<Pick<InstanceRecord, "config">>,
): string[] {
  const sources = new Set(binds.filter((bind) => !bind.readOnly).map((bind) => bind.source));
  for (const { config } of instances)
    for (const mount of config.mounts)
      if (mount.type === "bind" && !mount.readOnly) sources.add(mount.source);
  return [...sources];
}

/**
 * Throws `denied` for a source that lies in a folder some workload writes and leads out of it: the workload may have
 * put the link there. `writable`: those folders.
 */
export function checkWayOf(source: string, writable: readonly string[]): void {
  const all = prefixes(resolve(source));
  const real = all.map(realOf);
  const end = real.findLast((one) => one !== undefined) as string;
  for (const folder of writable) {
    const owned = realOf(folder);
    if (owned === undefined || !real.some((one) => one !== undefined && isWithin(one, owned))) continue;
    // What does not exist must be missing there itself, not at a dangling link's end.
    const dangling = real.at(-1) === undefined && all.some((one, i) => real[i] === undefined && isLink(one));
    if (isWithin(end, owned) && !dangling) continue;
    throw new GantryError(
      "denied",
      `bind source ${source} leads by a link from ${folder}, which an instance may write, to ${dangling ? "a place that is missing" : end}: give that path itself if you mean it`,
    );
  }
}

const isLink = (path: string): boolean =>
  lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;

/** Makes missing bind sources where the user's `-v` asks for it. Throws `invalid` for those that `--mount` names. */
export function checkBinds(binds: readonly BindWant[], writable: readonly string[]): void {
  for (const bind of binds) {
    checkWayOf(bind.source, writable);
    if (statSync(bind.source, { throwIfNoEntry: false })) continue;
    if (!bind.createSource)
      throw new GantryError("invalid", `bind source ${bind.source} does not exist: make it first, or use -v`);
    try {
      mkdirSync(bind.source, { recursive: true, mode: 0o755 });
    } catch (error) {
      throw new GantryError(
        "invalid",
        `bind source ${bind.source} cannot be made: ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    }
  }
}
