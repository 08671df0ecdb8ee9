import { chmod, chown, mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "../../lib/exec.ts";
import { instanceFolder, type Paths } from "../../lib/paths.ts";
import type { ImageSource } from "../../ports/image.ts";

/** The writable layer: an overlay's upper folder and its work folder. */
export const upperFolder = (paths: Paths, id: string): string => join(instanceFolder(paths, id), "upper");
export const workFolder = (paths: Paths, id: string): string => join(instanceFolder(paths, id), "work");

/** Makes the writable layer. The overlay's root takes owner and mode from it, so they follow the image's topmost layer. */
export async function createLayer(paths: Paths, id: string, image: ImageSource): Promise<void> {
  const [top] = await image.layers();
  await mkdir(instanceFolder(paths, id), { recursive: true, mode: 0o700 });
  await mkdir(workFolder(paths, id), { recursive: true, mode: 0o700 });
  const upper = upperFolder(paths, id);
  try {
    await mkdir(upper, { mode: 0o755 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return;
    throw error;
  }
  if (top === undefined) return;
  const { mode, uid, gid } = await stat(top);
  await chown(upper, uid, gid);
  await chmod(upper, mode & 0o7777);
}

/**
 * Removes the instance's folder. By rm(1), which never builds a path: a workload may have left
 * folders nested deeper than a path can name.
 */
export async function removeLayer(paths: Paths, id: string): Promise<void> {
  await exec(["rm", "-rf", "--one-file-system", "--", instanceFolder(paths, id)], { timeout: 600_000 });
}
