import { GantryError } from "../model/errors.ts";
import type { InstanceRecord } from "../model/instance.ts";
import type { ImageSource } from "../ports/image.ts";
import type { Volume } from "../ports/volume.ts";
import type { Context } from "./context.ts";
import type { Plan } from "./plan/plan.ts";

/** Host folders of the instance's volumes by target; a new volume is filled from the image, once. */
export async function volumeFolders(
  context: Context,
  record: InstanceRecord,
  planned: Plan,
  image: ImageSource,
): Promise<Map<string, string>> {
  const folders = new Map<string, string>();
  for (const want of planned.volumes) {
    const used = record.volumes.find((volume) => volume.target === want.target);
    if (!used)
      throw new GantryError(
        "conflict",
        `instance ${record.name} has no volume for ${want.target}: its image has changed; create it again`,
      );
    const volume = await findVolume(context, record, used.name);
    if (!want.noCopy) await fill(context, volume, image, want.target);
    folders.set(want.target, volume.path);
  }
  return folders;
}

async function findVolume(context: Context, record: InstanceRecord, name: string): Promise<Volume> {
  const volume = await context.volumes.get(record.project, name);
  if (!volume)
    throw new GantryError(
      "not_found",
      `volume ${name} of instance ${record.name} is gone; make it again by \`gantry volume create ${name}\``,
    );
  return volume;
}

/** One filler at a time, so that two instances do not copy into the same new volume. */
async function fill(context: Context, volume: Volume, image: ImageSource, target: string): Promise<void> {
  if (!(await context.volumes.needsFill(volume))) return;
  await context.lock.run(`volume ${volume.project}/${volume.name}`, async () => {
    if (!(await context.volumes.needsFill(volume))) return;
    await context.images.copyOut(image, target, volume.path);
    await context.volumes.markFilled(volume);
  });
}
