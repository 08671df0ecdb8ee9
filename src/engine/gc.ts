import { GantryError } from "../model/errors.ts";
import type { Context } from "./context.ts";

/** How many instances use which image, by manifest digest; over all projects. */
export function imageUsage(state: Context["state"]): Map<string, number> {
  const usage = new Map<string, number>();
  for (const { imageDigest } of state.instances.all())
    usage.set(imageDigest, (usage.get(imageDigest) ?? 0) + 1);
  return usage;
}

/** Frees what no name, no instance and no lease holds. Returns bytes. */
export const collect = async (context: Context): Promise<number> =>
  await context.images.collect(new Set(imageUsage(context.state).keys()));

/** See ports/engine.ts. Throws `conflict` naming the instances that use the image, unless `force`. */
export async function removeImage(
  context: Context,
  project: string,
  reference: string,
  force: boolean,
): Promise<{ untagged: string[]; deleted: string[] }> {
  const image = await context.images.resolve(project, reference);
  const users = context.state.instances.all().filter((record) => record.imageDigest === image.digest);
  if (users.length > 0 && !force)
    throw new GantryError(
      "conflict",
      `image ${reference} is used by ${users.map((user) => user.name).join(", ")}; remove them first, or use --force to take only its name away`,
    );
  const gone = await context.images.remove(project, reference, force);
  await collect(context);
  for (const [action, ids] of [
    ["untag", gone.untagged],
    ["delete", gone.deleted],
  ] as const)
    for (const id of ids)
      context.events.add({
        time: Date.now(),
        type: "image",
        action,
        id: image.digest,
        project,
        attributes: { name: id },
      });
  return gone;
}
