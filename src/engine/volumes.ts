import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { GantryError } from "../model/errors.ts";
import { checkName } from "../model/ids.ts";
import type { Volume } from "../ports/volume.ts";
import type { Context } from "./context.ts";

/** See ports/engine.ts. */
export async function createVolume(
  context: Context,
  project: string,
  name: string | undefined,
  labels: Record<string, string>,
): Promise<Volume> {
  if (name !== undefined) checkName("volume", name);
  const volume = await context.volumes.create(project, name, labels);
  emit(context, volume, "create");
  return volume;
}

export async function listVolumes(
  context: Context,
  project: string,
): Promise<(Volume & { usedBy: string[] })[]> {
  const users = usersByVolume(context, project);
  return (await context.volumes.list(project)).map((volume) => ({
    ...volume,
    usedBy: users.get(volume.name) ?? [],
  }));
}

export async function inspectVolume(
  context: Context,
  project: string,
  name: string,
): Promise<Volume & { usedBy: string[] }> {
  const volume = await context.volumes.get(project, name);
  if (!volume) throw noSuch(name);
  return { ...volume, usedBy: usersByVolume(context, project).get(volume.name) ?? [] };
}

/** Throws `conflict` while an instance, running or not, has it. With `force` a missing one is no error. */
export async function removeVolume(
  context: Context,
  project: string,
  name: string,
  force: boolean,
): Promise<void> {
  const volume = await context.volumes.get(project, name);
  if (!volume) {
    if (force) return;
    throw noSuch(name);
  }
  const users = usersByVolume(context, project).get(volume.name) ?? [];
  if (users.length > 0)
    throw new GantryError("conflict", `volume ${name} is used by ${users.join(", ")}; remove them first`);
  await context.volumes.remove(project, volume.name);
  emit(context, volume, "destroy");
}

/** Removes unused anonymous volumes, with `all` the named ones too. Returns their names and bytes. */
export async function pruneVolumes(
  context: Context,
  project: string,
  all: boolean,
): Promise<{ removed: string[]; bytes: number }> {
  const removed: string[] = [];
  let bytes = 0;
  for (const volume of await listVolumes(context, project)) {
    if (volume.usedBy.length > 0 || (!all && !volume.anonymous)) continue;
    bytes += await size(volume.path);
    await context.volumes.remove(project, volume.name);
    emit(context, volume, "destroy");
    removed.push(volume.name);
  }
  return { removed, bytes };
}

/** Names of instances by the volume they have. */
function usersByVolume(context: Context, project: string): Map<string, string[]> {
  const users = new Map<string, string[]>();
  for (const record of context.state.instances.all(project))
    for (const name of new Set(record.volumes.map((volume) => volume.name)))
      users.set(name, [...(users.get(name) ?? []), record.name]);
  return users;
}

/** Bytes on disk of what lies in a folder; links are never followed. */
async function size(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []))
    if (entry.isFile())
      bytes += await stat(join(entry.parentPath, entry.name)).then(
        (facts) => facts.blocks * 512,
        () => 0,
      );
  return bytes;
}

const noSuch = (name: string): GantryError =>
  new GantryError(
    "not_found",
    `no such volume: ${JSON.stringify(name.slice(0, 128))}; \`gantry volume ls\` lists them`,
  );

function emit(context: Context, volume: Volume, action: string): void {
  context.events.add({
    time: Date.now(),
    type: "volume",
    action,
    id: volume.name,
    project: volume.project,
    attributes: { ...volume.labels, name: volume.name, driver: "local" },
  });
}
