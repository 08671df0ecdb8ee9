import { posix } from "node:path";
import { GantryError } from "../model/errors.ts";
import type { Progress } from "../ports/image.ts";
import { decompressed } from "./compression.ts";
import { documentLimit } from "./documents.ts";
import { type StagedFile, type Staging, smallFile } from "./staging.ts";
import { readTar } from "./tar-read.ts";

type Member = { file: StagedFile } | { link: string };

const linkLimit = 16;
const normal = (name: string): string => posix.normalize(name).replace(/^\/+|\/+$/g, "");

/** An image archive whose files wait in a staging folder under numbers: no name in it is ever a path on the disk. */
export class Archive {
  readonly #members = new Map<string, Member>();

  /** Reads a tar, plain, gzip or zstd. Throws `corrupt` for a damaged one or a name that comes twice. */
  static async read(
    source: AsyncIterable<Uint8Array>,
    staging: Staging,
    progress?: Progress,
  ): Promise<Archive> {
    const archive = new Archive();
    let done = 0;
    let told = 0;
    async function* counted() {
      for await (const part of source) {
        done += part.length;
        if (done - told >= 1 << 23) {
          told = done;
          progress?.({ step: "reading archive", done });
        }
        yield part;
      }
    }
    for await (const member of readTar(decompressed(counted(), "the archive"))) {
      const name = normal(member.name);
      if (member.type === "folder" || member.type === "other") continue;
      if (archive.#members.has(name))
        throw new GantryError("corrupt", `the archive holds ${JSON.stringify(name.slice(0, 200))} twice`);
      if (member.type === "file") archive.#members.set(name, { file: await staging.write(member.body) });
      else {
        const base = member.type === "symlink" ? posix.dirname(name) : "";
        archive.#members.set(name, { link: normal(posix.join(base, member.link)) });
      }
    }
    return archive;
  }

  /** A file by its name in the archive, links followed within it. */
  find(name: string): StagedFile | undefined {
    let at = normal(name);
    for (let hops = 0; hops <= linkLimit; hops++) {
      const member = this.#members.get(at);
      if (member === undefined) return undefined;
      if ("file" in member) return member.file;
      at = member.link;
    }
    throw new GantryError(
      "corrupt",
      `links of ${JSON.stringify(name.slice(0, 200))} in the archive never end`,
    );
  }

  /** A file that must be there; throws `corrupt` naming it. */
  need(name: string): StagedFile {
    const file = this.find(name);
    if (file === undefined)
      throw new GantryError("corrupt", `the archive lacks ${JSON.stringify(name.slice(0, 200))}`);
    return file;
  }

  /** A small file's content. */
  document(name: string): Promise<Buffer> {
    return smallFile(this.need(name).path, documentLimit, `${name} in the archive`);
  }
}
