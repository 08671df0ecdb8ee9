import type { Undo } from "../lib/undo.ts";
import type { Descriptor, ImageConfig, Manifest } from "../model/oci.ts";

/** An image with the name it was asked by. */
export interface Image {
  /** Canonical name, e.g. `localhost/debian:bookworm`; undefined when only a digest is known. */
  name?: string;
  /** Digest of the manifest. */
  digest: string;
  manifest: Manifest;
  config: ImageConfig;
}

/** What the backends mount. */
export interface ImageSource extends Image {
  /** Unpacked layers on the host, topmost first (container). Made at first call, verified, shared. */
  layers(): Promise<string[]>;
  /** The merged image as a read-only EROFS file (vm). Made at first call, shared by all instances of the image. */
  disk(): Promise<string>;
}

export interface ImageSummary {
  name?: string;
  digest: string;
  /** Milliseconds. */
  created: number;
  /** Bytes of all its blobs, shared ones included. */
  size: number;
  instances: number;
}

export type Progress = (event: { step: string; done?: number; total?: number }) => void;

/** The image room: a content-addressed store in OCI layout with its unpacked forms. All names are within `project`. */
export interface Images {
  /**
   * Finds an image by name, name:tag, name@digest or an unambiguous digest prefix (12+ digits).
   * Short names look under `localhost/` too; the tag defaults to latest. Throws `not_found` saying what to do,
   * `invalid` for a malformed reference.
   */
  resolve(project: string, reference: string): Promise<ImageSource>;
  /** The image of an existing instance, by digest. Throws `not_found`. */
  byDigest(digest: string): Promise<ImageSource>;
  list(project: string): Promise<ImageSummary[]>;
  tag(project: string, reference: string, name: string): Promise<void>;
  /** Removes the name, and the content when it was the last one. Throws `conflict` when an instance uses it, unless `force` (then only the name goes). Returns what went. */
  remove(
    project: string,
    reference: string,
    force: boolean,
  ): Promise<{ untagged: string[]; deleted: string[] }>;
  /** A root file system tar (plain, gzip or zstd) becomes a one-layer image. */
  import(
    project: string,
    tar: AsyncIterable<Uint8Array>,
    options: { name?: string; changes?: string[]; message?: string },
    progress?: Progress,
  ): Promise<Image>;
  /** An oci-archive or docker-archive (detected; gzip or zstd around it too). Returns the names or digests loaded. */
  load(project: string, archive: AsyncIterable<Uint8Array>, progress?: Progress): Promise<Image[]>;
  save(
    project: string,
    references: string[],
    format: "oci-archive" | "docker-archive",
  ): Promise<AsyncIterable<Uint8Array>>;
  bootstrap(
    project: string,
    options: { distribution: string; include: string[]; name?: string },
    progress?: Progress,
  ): Promise<Image>;
  /** Copies the content of `path` in the image into the empty host folder `destination` (a new volume), confined, owners kept. No such path: nothing. */
  copyOut(image: ImageSource, path: string, destination: string): Promise<void>;
  /** Removes blobs, layers and disks that no name, no instance digest in `used` and no lease holds. Returns bytes freed. */
  collect(used: ReadonlySet<string>): Promise<number>;
  /** Holds an image against `collect` until the undo ends or releases. */
  lease(image: Image, undo: Undo): void;
  /** Clears half-written files of a crashed engine. */
  reconcile(): Promise<void>;
}

export type { Descriptor };
