import type { Paths } from "../lib/paths.ts";
import type { Images } from "../ports/image.ts";
import type { Supervisors } from "../ports/supervisor.ts";
import { ImageRoom } from "./room.ts";

export interface ImagesOptions {
  /** The store lives in `<root>/images`, unpacked layers in `<root>/layers`, VM disks in `<root>/disks`. */
  paths: Pick<Paths, "root">;
  /** Runs the confined modes: unpack, files. */
  supervisors: Pick<Supervisors, "oneShot" | "program">;
  /** How many instances use which manifest digest. Without it `remove` never deletes content itself: `collect` does. */
  usage?: () => ReadonlyMap<string, number>;
  /** Where bootstrap builds its trees; `<root>/images/.staging` when absent. */
  tempDir?: string;
}

/** Makes the image room. Nothing is read or written before the first call. */
export const createImages = (options: ImagesOptions): Images => new ImageRoom(options);
