import { mkdir, mkdtemp, open, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { syncFolder } from "../../lib/atomic.ts";
import { exec } from "../../lib/exec.ts";
import { instanceFolder, type Paths } from "../../lib/paths.ts";
import { GantryError } from "../../model/errors.ts";

const mib = 1 << 20;

/** Bytes of a writable layer when no size was asked for; sparse, so that only what is written takes space. */
export const defaultLayer = 10 * 1024 * mib;
/** ext4 with its journal does not fit into less. */
export const smallestLayer = 32 * mib;

export const layerFile = (paths: Paths, instanceId: string): string =>
  join(instanceFolder(paths, instanceId), "layer.raw");

/** Raised when the file system below is made in another way. */
const templateVersion = 1;

/**
 * Makes the writable layer of an instance: a sparse raw file with an ext4 that holds `upper/` and `work/`.
 * Idempotent, durable when it returns; an existing layer is never touched. Throws `exhausted` on a full disk.
 */
export async function createLayer(paths: Paths, instanceId: string, size: number): Promise<void> {
  const path = layerFile(paths, instanceId);
  if (await exists(path)) return;
  const folder = instanceFolder(paths, instanceId);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const template = await layerTemplate(paths, size);
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  try {
    await sparseCopy(template, temporary);
    await sync(temporary);
    await rename(temporary, path);
    await syncFolder(folder);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Idempotent. */
export async function removeLayer(paths: Paths, instanceId: string): Promise<void> {
  const path = layerFile(paths, instanceId);
  await rm(path, { force: true });
  await rm(`${path}.new`, { force: true });
}

/** A formatted file system of `size` bytes, made at first use of that size and copied from then on. */
async function layerTemplate(paths: Paths, size: number): Promise<string> {
  const folder = join(paths.root, "vm", "templates");
  const whole = Math.ceil(size / mib) * mib;
  const path = join(folder, `ext4-${templateVersion}-${whole / mib}m.raw`);
  if (await exists(path)) return path;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const work = await mkdtemp(join(folder, "making-"));
  try {
    const tree = join(work, "tree");
    for (const name of ["", "upper", "work"]) await mkdir(join(tree, name), { mode: 0o755 });
    const formatted = join(work, "formatted");
    await (await open(formatted, "wx", 0o600)).close();
    await exec(["truncate", "-s", String(whole), formatted]);
    await exec(mkfsArguments(formatted, tree, whole), { env: { PATH: process.env.PATH, LC_ALL: "C" } });
    // mkfs reserves the inode tables, which are zero: as holes they cost nothing.
    const compact = join(work, "compact");
    await sparseCopy(formatted, compact);
    await sync(compact);
    await rename(compact, path);
    await syncFolder(folder);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return path;
}

/**
 * No reserved blocks, no room for growing, a small journal. The inode tables count as zeroed, since the file is
 * sparse: otherwise the guest's kernel would write them all out in the background.
 */
export function mkfsArguments(file: string, tree: string, size: number): string[] {
  const journal = size < 256 * mib ? 4 : 16;
  return [
    ...["mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-J", `size=${journal}`],
    ...["-O", "^resize_inode", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0"],
    ...["-d", tree, file],
  ];
}

const sparseCopy = async (from: string, to: string): Promise<void> => {
  try {
    await exec(["cp", "--reflink=auto", "--sparse=auto", "--no-preserve=all", from, to], {
      env: { PATH: process.env.PATH, LC_ALL: "C" },
    });
  } catch (error) {
    const { message } = error as Error;
    if (message.includes("No space left"))
      throw new GantryError("exhausted", `the disk is full: no room for the writable layer ${to}`, {
        cause: error,
      });
    throw error;
  }
};

async function sync(path: string): Promise<void> {
  const handle = await open(path, "r+");
  try {
    await handle.chmod(0o600);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
