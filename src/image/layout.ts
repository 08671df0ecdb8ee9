import { mkdir, readdir, readFile, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../lib/atomic.ts";
import { KeyedLock } from "../lib/lock.ts";
import type { Descriptor } from "../model/oci.ts";
import { mediaTypes, parseIndex } from "./documents.ts";
import { failing } from "./failure.ts";

export const nameAnnotation = "org.opencontainers.image.ref.name";
export const projectAnnotation = "dev.gantry.project";

/** One root of the store: a manifest that a project holds, by a name or by its digest alone. */
export interface Entry {
  project: string;
  name?: string;
  descriptor: Descriptor;
}

const toDescriptor = (entry: Entry): Descriptor => ({
  mediaType: entry.descriptor.mediaType,
  digest: entry.descriptor.digest,
  size: entry.descriptor.size,
  platform: { architecture: "amd64", os: "linux" },
  annotations: {
    ...(entry.name === undefined ? {} : { [nameAnnotation]: entry.name }),
    [projectAnnotation]: entry.project,
  },
});

function toEntry(descriptor: Descriptor): Entry {
  const name = descriptor.annotations?.[nameAnnotation];
  return {
    project: descriptor.annotations?.[projectAnnotation] ?? "default",
    ...(name === undefined ? {} : { name }),
    descriptor: { mediaType: descriptor.mediaType, digest: descriptor.digest, size: descriptor.size },
  };
}

/** The OCI image layout's index.json: the truth about which names exist. Other tools may read the folder. */
export class Layout {
  readonly #lock = new KeyedLock();
  readonly #file: string;
  #known: { stamp: string; entries: readonly Entry[] } | undefined;

  constructor(readonly folder: string) {
    this.#file = join(folder, "index.json");
  }

  /** All roots. Throws `corrupt` when index.json is damaged. */
  async entries(): Promise<readonly Entry[]> {
    const facts = await stat(this.#file, { bigint: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (facts === undefined) return [];
    const stamp = `${facts.ino}.${facts.mtimeNs}.${facts.size}`;
    if (this.#known?.stamp !== stamp)
      this.#known = {
        stamp,
        entries: parseIndex(await readFile(this.#file), this.#file).manifests.map(toEntry),
      };
    return this.#known.entries;
  }

  /** Replaces the roots by what `change` makes of them; one change at a time, durable when it returns. */
  update(change: (entries: readonly Entry[]) => Entry[]): Promise<void> {
    return this.#lock.run("index", () =>
      failing("writing the image index", async () => {
        await mkdir(this.folder, { recursive: true, mode: 0o700 });
        const version = join(this.folder, "oci-layout");
        const there = await stat(version).catch(() => undefined);
        if (there === undefined) await writeFileAtomic(version, '{"imageLayoutVersion":"1.0.0"}');
        const entries = change(await this.entries());
        const index = {
          schemaVersion: 2,
          mediaType: mediaTypes.index,
          manifests: entries.map(toDescriptor),
        };
        await writeFileAtomic(this.#file, `${JSON.stringify(index, undefined, 1)}\n`);
      }),
    );
  }

  /** Removes temporary files of interrupted writes. */
  async reconcile(): Promise<void> {
    const names = await readdir(this.folder).catch(() => [] as string[]);
    for (const name of names)
      if (/^(index\.json|oci-layout)\.tmp-[a-f0-9]+$/.test(name)) await unlink(join(this.folder, name));
  }
}
