import { GantryError } from "../model/errors.ts";
import type { InstanceRecord } from "../model/instance.ts";
import type { InstanceView, ListFilter } from "../ports/engine.ts";
import { type Context, isActive } from "./context.ts";
import { viewOf } from "./view.ts";

type Test = (record: InstanceRecord, value: string, context: Context) => boolean | Promise<boolean>;

/** Docker's filters of `ps`; values of one filter are alternatives, but for labels, which all must hold. */
const tests: Record<string, Test> = {
  id: (record, value) => record.id.startsWith(value.toLowerCase()),
  name: (record, value) => nameMatches(record.name, value),
  label: (record, value) => labelMatches(record.config.labels, value),
  status: (record, value) => record.state === value,
  isolation: (record, value) => record.config.isolation === value,
  exited: (record, value) => record.state === "exited" && String(record.exitCode ?? 0) === value,
  volume: (record, value) =>
    record.volumes.some((volume) => volume.name === value || volume.target === value) ||
    record.config.mounts.some(
      (mount) => mount.target === value || (mount.type === "bind" && mount.source === value),
    ),
  ancestor: async (record, value, context) => {
    if (record.config.image === value || record.imageDigest === value) return true;
    try {
      return (await context.images.resolve(record.project, value)).digest === record.imageDigest;
    } catch {
      return false;
    }
  },
};

const states = new Set<string>([
  "created",
  "starting",
  "running",
  "paused",
  "stopping",
  "restarting",
  "exited",
  "removing",
  "broken",
]);

export async function list(context: Context, project: string, filter: ListFilter): Promise<InstanceView[]> {
  for (const name of Object.keys(filter.filters))
    if (!tests[name])
      throw new GantryError(
        "invalid",
        `no such filter: ${JSON.stringify(name.slice(0, 64))}; there are ${Object.keys(tests).join(", ")}`,
      );
  for (const state of filter.filters.status ?? [])
    if (!states.has(state))
      throw new GantryError("invalid", `no such status: ${JSON.stringify(state.slice(0, 64))}`);
  const all = filter.all || "status" in filter.filters || "exited" in filter.filters;
  const found: InstanceView[] = [];
  for (const record of context.state.instances.all(project)) {
    if (!all && !isActive(record) && record.state !== "restarting") continue;
    if (await passes(context, record, filter.filters)) found.push(await viewOf(context, record));
  }
  return found;
}

async function passes(
  context: Context,
  record: InstanceRecord,
  filters: Record<string, string[]>,
): Promise<boolean> {
  for (const [name, values] of Object.entries(filters)) {
    if (values.length === 0) continue;
    const test = tests[name] as Test;
    const results = await Promise.all(values.map((value) => test(record, value, context)));
    if (!(name === "label" ? results.every(Boolean) : results.some(Boolean))) return false;
  }
  return true;
}

/** Part of the name, with `^` and `$` as anchors and `*` as wildcard; never a regular expression of the client's making. */
export function nameMatches(name: string, pattern: string): boolean {
  const escaped = pattern
    .replace(/^\^?\/?/, (start) => (start.startsWith("^") ? "^" : ""))
    .replace(/[\\^$.*+?()[\]{}|]/g, (sign) => (sign === "*" ? ".*" : `\\${sign}`))
    .replace(/^\\\^/, "^")
    .replace(/\\\$$/, "$");
  return new RegExp(escaped).test(name);
}

export function labelMatches(labels: Record<string, string>, wanted: string): boolean {
  const at = wanted.indexOf("=");
  if (at < 0) return Object.hasOwn(labels, wanted);
  const key = wanted.slice(0, at);
  return Object.hasOwn(labels, key) && labels[key] === wanted.slice(at + 1);
}
