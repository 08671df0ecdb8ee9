import { join } from "node:path";
import type { Undo } from "../lib/undo.ts";
import { GantryError } from "../model/errors.ts";
import type { Image, ImageSource, ImageSummary, Images, Progress } from "../ports/image.ts";
import { Archive } from "./archive.ts";
import { busybox } from "./bootstrap-busybox.ts";
import { debian, defaultSuite } from "./bootstrap-debian.ts";
import { applyChanges } from "./changes.ts";
import { decompressed } from "./compression.ts";
import { diskKey, filesRequest } from "./disks.ts";
import { failing } from "./failure.ts";
import { importTar } from "./import.ts";
import type { ImagesOptions } from "./index.ts";
import { ingest } from "./ingest.ts";
import { removeTree } from "./layers.ts";
import type { Entry } from "./layout.ts";
import { readDockerArchive } from "./load-docker.ts";
import { readOciArchive } from "./load-oci.ts";
import { candidates, canonicalName, parseReference, repositoryOf } from "./reference.ts";
import { saveArchive } from "./save.ts";
import { Staging } from "./staging.ts";
import { Store } from "./store.ts";

const prefixDigits = 12;

/** The image room behind its port. */
export class ImageRoom implements Images {
  readonly #store: Store;

  constructor(readonly options: ImagesOptions) {
    this.#store = new Store(options.paths.root, options.supervisors);
  }

  async resolve(project: string, reference: string): Promise<ImageSource> {
    const entry = await this.#find(project, reference);
    return this.#source(entry.descriptor.digest, entry.name);
  }

  async byDigest(digest: string): Promise<ImageSource> {
    if (!(await this.#store.blobs.has(digest)))
      throw new GantryError("not_found", `image ${digest} is not in the store any more`);
    const entry = (await this.#store.layout.entries()).find(
      (one) => one.descriptor.digest === digest && one.name !== undefined,
    );
    return this.#source(digest, entry?.name);
  }

  async #source(digest: string, name: string | undefined): Promise<ImageSource> {
    const store = this.#store;
    const { manifest, config } = await store.documents(digest);
    const diffIds = config.rootfs.diff_ids;
    const layers = () =>
      store.pins.during([digest], async () => {
        const paths: string[] = [];
        for (const [at, descriptor] of manifest.layers.entries()) {
          const tar = () => decompressed(store.blobs.stream(descriptor), `layer ${descriptor.digest}`);
          const { path } = await store.layers.ensure(diffIds[at] as string, tar, { lower: paths });
          paths.unshift(path);
        }
        return paths;
      });
    const disk = () => store.pins.during([digest], () => store.disks.ensure(diskKey(diffIds), layers));
    return { ...(name === undefined ? {} : { name }), digest, manifest, config, layers, disk };
  }

  /** The entry that a reference means: by name first, then as a digest or a prefix of one. */
  async #find(project: string, reference: string): Promise<Entry> {
    const entries = (await this.#store.layout.entries()).filter((entry) => entry.project === project);
    const missing = (repositories: readonly string[] = []) => {
      const near = entries.flatMap(({ name }) =>
        name !== undefined && repositories.includes(repositoryOf(name)) ? [name] : [],
      );
      const advice =
        near.length > 0
          ? `there is ${near.slice(0, 5).join(", ")}`
          : "see `gantry images`, or make it with image bootstrap, import or load";
      return new GantryError(
        "not_found",
        `image ${JSON.stringify(reference.slice(0, 300))} is not in the store; ${advice}`,
      );
    };
    let repositories: string[] = [];
    const bare = /^(?:sha256:)?([a-f0-9]{1,64})$/.exec(reference)?.[1];
    if (bare === undefined || (!reference.startsWith("sha256:") && bare.length < 64)) {
      const parsed = parseReference(reference);
      repositories = candidates(parsed);
      for (const repository of repositories) {
        const found = entries.find((entry) =>
          parsed.digest === undefined
            ? entry.name === `${repository}:${parsed.tag ?? "latest"}`
            : entry.descriptor.digest === parsed.digest &&
              entry.name !== undefined &&
              repositoryOf(entry.name) === repository,
        );
        if (found !== undefined) return found;
      }
    }
    if (bare === undefined) throw missing(repositories);
    if (bare.length < prefixDigits) {
      if (!reference.startsWith("sha256:")) throw missing(repositories);
      throw new GantryError(
        "invalid",
        `digest ${reference} is too short; give at least ${prefixDigits} digits`,
      );
    }
    const matches = entries.filter((entry) => entry.descriptor.digest.startsWith(`sha256:${bare}`));
    if (matches[0] === undefined) throw missing(repositories);
    if (new Set(matches.map((entry) => entry.descriptor.digest)).size > 1)
      throw new GantryError("conflict", `digest ${reference} fits several images; give more digits`);
    return matches.find((entry) => entry.name !== undefined) ?? matches[0];
  }

  async list(project: string): Promise<ImageSummary[]> {
    const usage = this.options.usage?.();
    const found: ImageSummary[] = [];
    for (const entry of await this.#store.layout.entries()) {
      if (entry.project !== project) continue;
      const digest = entry.descriptor.digest;
      // A damaged image is listed, so that it can be removed.
      const documents = await this.#store.documents(digest).catch(() => undefined);
      const created = Date.parse(documents?.config.created ?? "");
      found.push({
        ...(entry.name === undefined ? {} : { name: entry.name }),
        digest,
        created: Number.isNaN(created) ? 0 : created,
        size: documents?.size ?? 0,
        instances: usage?.get(digest) ?? 0,
      });
    }
    return found;
  }

  async tag(project: string, reference: string, name: string): Promise<void> {
    const canonical = canonicalName(name);
    await this.#store.exclusive(async () => {
      const { descriptor } = await this.#find(project, reference);
      await this.#store.layout.update((entries) => [
        ...entries.filter(
          (entry) =>
            entry.project !== project ||
            // The new name takes the place of a hold by digest alone.
            (entry.name === undefined
              ? entry.descriptor.digest !== descriptor.digest
              : entry.name !== canonical),
        ),
        { project, name: canonical, descriptor },
      ]);
    });
  }

  async remove(
    project: string,
    reference: string,
    force: boolean,
  ): Promise<{ untagged: string[]; deleted: string[] }> {
    const removed = await this.#store.exclusive(async () => {
      const entry = await this.#find(project, reference);
      const digest = entry.descriptor.digest;
      const mine = (one: Entry) => one.project === project && one.descriptor.digest === digest;
      const all = await this.#store.layout.entries();
      const siblings = all.filter(mine);
      const byDigest = !isName(reference, entry);
      if (byDigest && siblings.length > 1 && !force)
        throw new GantryError(
          "conflict",
          `image ${reference} has several names (${siblings.map((one) => one.name).join(", ")}); remove each, or use force`,
        );
      const going = byDigest ? siblings : [entry];
      const users = this.options.usage?.().get(digest) ?? 0;
      const last = going.length === siblings.length;
      if (last && users > 0 && !force)
        throw new GantryError(
          "conflict",
          `image ${reference} is used by ${users} instance${users === 1 ? "" : "s"}; remove them first, or use force to remove only the name`,
        );
      await this.#store.layout.update((entries) =>
        entries.filter((one) => !going.some((gone) => same(one, gone))),
      );
      const untagged = going.flatMap((one) => (one.name === undefined ? [] : [one.name]));
      const elsewhere = all.some((one) => !mine(one) && one.descriptor.digest === digest);
      if (!last || users > 0 || elsewhere) return { untagged, deleted: [] };
      return { untagged, deleted: [digest] };
    });
    // Without knowledge of the instances nothing is called unused here: `collect` is told.
    if (removed.deleted.length > 0 && this.options.usage !== undefined)
      await this.#store.sweep(this.#used()).catch(ignoreCorrupt);
    return removed;
  }

  async import(
    project: string,
    tar: AsyncIterable<Uint8Array>,
    options: { name?: string; changes?: string[]; message?: string },
    progress?: Progress,
  ): Promise<Image> {
    const about = {
      ...(options.name === undefined ? {} : { name: canonicalName(options.name) }),
      settings: applyChanges({}, options.changes ?? []),
      createdBy: "gantry import",
      comment: options.message ?? "",
      created: new Date(),
    };
    return importTar(this.#store, project, tar, about, this.#used, progress);
  }

  async load(project: string, source: AsyncIterable<Uint8Array>, progress?: Progress): Promise<Image[]> {
    await using staging = await this.#store.staging();
    const archive = await Archive.read(source, staging, progress);
    const images =
      archive.find("index.json") !== undefined
        ? await readOciArchive(archive)
        : archive.find("manifest.json") !== undefined
          ? await readDockerArchive(archive, staging)
          : undefined;
    if (images === undefined)
      throw new GantryError(
        "invalid",
        "the archive is no image archive: it has neither index.json (oci-archive) nor manifest.json (docker-archive); a root file system goes through import",
      );
    return await ingest(this.#store, project, images, this.#used, progress);
  }

  async save(
    project: string,
    references: string[],
    format: "oci-archive" | "docker-archive",
  ): Promise<AsyncIterable<Uint8Array>> {
    if (references.length === 0) throw new GantryError("invalid", "name at least one image to save");
    const saved = new Map<string, Set<string>>();
    for (const reference of references) {
      const entry = await this.#find(project, reference);
      const names = saved.get(entry.descriptor.digest) ?? new Set();
      if (entry.name !== undefined) names.add(entry.name);
      saved.set(entry.descriptor.digest, names);
      await this.#store.documents(entry.descriptor.digest); // a damaged image fails before the first byte
    }
    const images = [...saved].map(([digest, names]) => ({ digest, names: [...names] }));
    return saveArchive(this.#store, images, format);
  }

  async bootstrap(
    project: string,
    options: { distribution: string; include: string[]; name?: string },
    progress?: Progress,
  ): Promise<Image> {
    const [, distribution = "", asked] = /^([^:]*)(?::(.*))?$/s.exec(options.distribution) ?? [];
    const ours = this.#bootstrapFolder();
    await using staging = ours === undefined ? await this.#store.staging() : await Staging.open(ours);
    const finish = async (made: Awaited<ReturnType<typeof busybox>>, name: string) => {
      const about = { ...made.about, name: canonicalName(options.name ?? name) };
      return importTar(this.#store, project, made.tar, about, this.#used, progress);
    };
    if (distribution === "debian") {
      const suite = asked ?? (await defaultSuite());
      return await finish(await debian(suite, options.include, staging.folder, progress), `debian:${suite}`);
    }
    if (distribution === "busybox") {
      if (asked !== undefined && asked !== "latest")
        throw new GantryError(
          "invalid",
          `busybox has no version ${JSON.stringify(asked)} here; write busybox`,
        );
      if (options.include.length > 0)
        throw new GantryError("invalid", "busybox takes no packages; use --include with debian");
      return await finish(await busybox(), "busybox");
    }
    throw new GantryError(
      "invalid",
      `distribution ${JSON.stringify(distribution.slice(0, 100))} is not known; use busybox or debian[:suite]`,
    );
  }

  async copyOut(image: ImageSource, path: string, destination: string): Promise<void> {
    await this.#store.pins.during([image.digest], async () => {
      const lower = await image.layers();
      if (lower.length === 0) return;
      const request = { op: "copy", lower, path, target: destination };
      await failing(`copying ${path} out of the image`, () =>
        this.options.supervisors.oneShot(["files"], filesRequest(request)),
      );
    });
  }

  collect(used: ReadonlySet<string>): Promise<number> {
    return this.#store.sweep(used);
  }

  lease(image: Image, undo: Undo): void {
    undo.always(`lease of image ${image.digest}`, this.#store.pins.hold(image.digest));
  }

  async reconcile(): Promise<void> {
    await this.#store.reconcile();
    const ours = this.#bootstrapFolder();
    if (ours !== undefined) await removeTree(ours);
  }

  /** Where bootstraps build when that is not in the store. */
  #bootstrapFolder(): string | undefined {
    return this.options.tempDir === undefined ? undefined : join(this.options.tempDir, "gantry-bootstrap");
  }

  readonly #used = (): Iterable<string> => this.options.usage?.().keys() ?? [];
}

const same = (a: Entry, b: Entry): boolean =>
  a.project === b.project && a.name === b.name && a.descriptor.digest === b.descriptor.digest;

/** Whether the reference was the entry's name rather than its digest. */
const isName = (reference: string, entry: Entry): boolean =>
  entry.name !== undefined &&
  !entry.descriptor.digest.startsWith(reference.startsWith("sha256:") ? reference : `sha256:${reference}`);

/** Another image's damage must not keep this one from being removed; `collect` will tell of it. */
const ignoreCorrupt = (error: unknown): void => {
  if (!(error instanceof GantryError && error.code === "corrupt")) throw error;
};
