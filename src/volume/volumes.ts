import { type Dirent, existsSync } from "node:fs";
import { chmod, lstat, mkdir, opendir, readdir, readFile, rename, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import Type from "typebox";
import Value from "typebox/value";
import { syncFolder, writeFileAtomic } from "../lib/atomic.ts";
import { exec } from "../lib/exec.ts";
import { KeyedLock } from "../lib/lock.ts";
import type { Paths } from "../lib/paths.ts";
import { GantryError } from "../model/errors.ts";
import { checkName, newId } from "../model/ids.ts";
import type { Volume, Volumes } from "../ports/volume.ts";

/** What `meta.json` holds; the folder's place says project and name. */
const Meta = Type.Object({
  anonymous: Type.Boolean(),
  createdAt: Type.Integer({ minimum: 0 }),
  labels: Type.Record(Type.String(), Type.String()),
  /** Whether image content was copied in: not yet, begun, or done (or never to be, since there is other content). */
  fill: Type.Union([Type.Literal("open"), Type.Literal("begun"), Type.Literal("done")]),
});
type Meta = Type.Static<typeof Meta>;

/** Not a name that `checkName` lets through, so no volume or project can be called so. */
const trashName = ".trash";

/**
 * Volumes as folders: `volumes/<project>/<name>/{_data,meta.json}`. A volume is there once its meta.json is.
 * `_data` belongs to instances and is never read or walked here: what is in it is hostile.
 */
export function createVolumes(options: { paths: Pick<Paths, "root"> }): Volumes {
  return new FolderVolumes(join(options.paths.root, "volumes"));
}

class FolderVolumes implements Volumes {
  readonly #root: string;
  readonly #trash: string;
  /** By project and name: making, filling marks and removing one after another. */
  readonly #lock = new KeyedLock();

  constructor(root: string) {
    this.#root = root;
    this.#trash = join(root, trashName);
  }

  #folder(project: string, name: string): string {
    return join(this.#root, checkName("project", project), checkName("volume", name));
  }

  create(project: string, name: string | undefined, labels: Record<string, string>): Promise<Volume> {
    const chosen = name ?? newId();
    const folder = this.#folder(project, chosen);
    return this.#lock.run(folder, async () => {
      const there = await this.#read(folder);
      if (there) {
        if (!sameLabels(there.labels, labels))
          throw new GantryError(
            "exists",
            `volume ${chosen} is there already with other labels: remove it or choose another name`,
          );
        return this.#view(project, chosen, folder, there);
      }
      const meta: Meta = { anonymous: name === undefined, createdAt: Date.now(), labels, fill: "open" };
      if (existsSync(folder)) await this.#discard(folder); // half made, by an engine that died
      await mkdir(join(this.#root, project), { recursive: true, mode: 0o700 });
      await mkdir(folder, { mode: 0o700 });
      await makeData(folder);
      await writeMeta(folder, meta);
      await syncFolder(join(this.#root, project));
      return this.#view(project, chosen, folder, meta);
    });
  }

  async get(project: string, name: string): Promise<Volume | undefined> {
    const folder = this.#folder(project, name);
    const meta = await this.#read(folder);
    return meta && this.#view(project, name, folder, meta);
  }

  async list(project: string): Promise<Volume[]> {
    const names = await this.#names(join(this.#root, checkName("project", project)));
    const found = await Promise.all(names.map((name) => this.get(project, name)));
    return found.filter((one) => one !== undefined).sort((a, b) => a.name.localeCompare(b.name));
  }

  remove(project: string, name: string): Promise<void> {
    const folder = this.#folder(project, name);
    return this.#lock.run(folder, () => this.#discard(folder));
  }

  needsFill(volume: Volume): Promise<boolean> {
    const folder = this.#folder(volume.project, volume.name);
    return this.#lock.run(folder, async () => {
      const meta = await this.#read(folder);
      if (!meta || meta.fill === "done") return false;
      if (meta.fill === "begun") return true;
      // What someone put there meanwhile is theirs: image content never goes over it.
      const fill = (await isEmpty(join(folder, "_data"))) ? "begun" : "done";
      await writeMeta(folder, { ...meta, fill });
      return fill === "begun";
    });
  }

  markFilled(volume: Volume): Promise<void> {
    const folder = this.#folder(volume.project, volume.name);
    return this.#lock.run(folder, async () => {
      const meta = await this.#read(folder);
      if (!meta)
        throw new GantryError(
          "not_found",
          `volume ${volume.name} is gone: it was removed while it was filled`,
        );
      if (meta.fill !== "done") await writeMeta(folder, { ...meta, fill: "done" });
    });
  }

  /**
   * Takes away what a dead engine left: half-made volumes, the trash, and the content of volumes whose first filling
   * did not end (it is filled again from empty).
   */
  async reconcile(): Promise<void> {
    for (const project of await this.#names(this.#root)) {
      for (const name of await this.#names(join(this.#root, project))) {
        const folder = join(this.#root, project, name);
        const meta = await this.#read(folder).catch(() => "unreadable" as const);
        await this.#lock.run(folder, async () => {
          if (meta === undefined) await this.#discard(folder);
          else if (meta !== "unreadable" && meta.fill === "begun") await this.#emptyAgain(folder, meta);
        });
      }
    }
    await this.#emptyTrash();
  }

  #view(project: string, name: string, folder: string, meta: Meta): Volume {
    const { anonymous, createdAt, labels } = meta;
    return { project, name, anonymous, createdAt, labels, path: join(folder, "_data") };
  }

  /** Folders below, without the trash and other things that no volume is called. */
  async #names(folder: string): Promise<string[]> {
    const entries: Dirent[] = await readdir(folder, { withFileTypes: true }).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return [];
        throw error;
      },
    );
    return entries
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
      .map((entry) => entry.name);
  }

  async #read(folder: string): Promise<Meta | undefined> {
    let text: string;
    try {
      text = await readFile(join(folder, "meta.json"), "utf8");
    } catch (error) {
      if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
      throw error;
    }
    try {
      return Value.Parse(Meta, JSON.parse(text));
    } catch (error) {
      throw new GantryError(
        "corrupt",
        `${join(folder, "meta.json")} is not what a volume's description looks like: restore it, or remove the volume`,
        { cause: error },
      );
    }
  }

  /** Renames the folder into the trash, which is what removes the volume, then deletes it there. Idempotent. */
  async #discard(folder: string): Promise<void> {
    await mkdir(this.#trash, { recursive: true, mode: 0o700 });
    const grave = join(this.#trash, newId());
    try {
      await rename(folder, grave);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw error;
    }
    await syncFolder(dirname(folder));
    await deleteTree(grave);
  }

  async #emptyAgain(folder: string, meta: Meta): Promise<void> {
    await this.#discard(join(folder, "_data"));
    await makeData(folder);
    await writeMeta(folder, { ...meta, fill: "open" });
  }

  async #emptyTrash(): Promise<void> {
    for (const name of await readdir(this.#trash).catch(() => [] as string[]))
      await deleteTree(join(this.#trash, name));
    await rmdir(this.#trash).catch(() => {});
  }
}

const writeMeta = (folder: string, meta: Meta): Promise<void> =>
  writeFileAtomic(join(folder, "meta.json"), JSON.stringify(meta));

/** The folder that instances see; readable for all within, as Docker's is, whatever the engine's umask. */
async function makeData(folder: string): Promise<void> {
  const data = join(folder, "_data");
  await mkdir(data);
  await chmod(data, 0o755);
}

async function isEmpty(folder: string): Promise<boolean> {
  const handle = await opendir(folder);
  try {
    return (await handle.read()) === null;
  } finally {
    await handle.close();
  }
}

const sameLabels = (a: Record<string, string>, b: Record<string, string>): boolean =>
  Object.keys(b).length === 0 ||
  (Object.keys(a).length === Object.keys(b).length &&
    Object.entries(a).every(([key, value]) => b[key] === value));

/**
 * Deletes a tree whose content may be anything, in a child process: `rm` walks by descriptors, follows no symbolic
 * link and stays on one file system, so that a folder mounted there by mistake is not emptied.
 */
async function deleteTree(path: string): Promise<void> {
  const info = await lstat(path).catch(() => undefined);
  if (!info) return;
  if (!info.isDirectory()) return rm(path, { force: true });
  await exec(["rm", "-rf", "--one-file-system", "--", path], { timeout: 30 * 60_000 });
}
