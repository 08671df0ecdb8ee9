import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { rename, unlink } from "node:fs/promises";
import { command, UsageError, value } from "../command.ts";
import { print } from "../stdio.ts";

const formats = ["oci-archive", "docker-archive"] as const;

/** Writes beside the file and renames, so that a broken save leaves no half archive under its name. */
async function saveTo(path: string, archive: AsyncIterable<Uint8Array>): Promise<void> {
  const temporary = `${path}.part-${process.pid}`;
  const file = createWriteStream(temporary, { flags: "wx", mode: 0o600 });
  try {
    await once(file, "open");
    for await (const piece of archive) if (!file.write(piece)) await once(file, "drain");
    file.end();
    await once(file, "close");
    await rename(temporary, path);
  } catch (error) {
    file.destroy();
    await unlink(temporary).catch(() => {});
    throw error;
  }
}

export default command({
  usage: "[flags] IMAGE...",
  about: "Saves images with all their layers as one archive, to a file or standard output.",
  flags: {
    output: value("FILE", "Write this file", { short: "o", completes: "file" }),
    format: value("FORMAT", "oci-archive (default) or docker-archive", { completes: formats }),
  },
  later: { platform: "", compress: "", quiet: "", q: "", "multi-image-archive": "", m: "" },
  args: [1, Number.POSITIVE_INFINITY],
  examples: [
    ["gantry save -o debian.tar debian", "To a file"],
    ["gantry save --format docker-archive debian | docker load", "To another engine"],
  ],
  async run({ api }, references, flags) {
    const format = formats.find((f) => f === (flags.format ?? "oci-archive"));
    if (!format)
      throw new UsageError(`--format takes ${formats.join(" or ")}, not ${JSON.stringify(flags.format)}`);
    if (flags.output === undefined && process.stdout.isTTY)
      throw new UsageError("an archive is nothing for a terminal: use -o FILE or >");
    const archive = await api.saveImages(references, format);
    if (flags.output === undefined || flags.output === "-")
      for await (const piece of archive) await print(piece);
    else await saveTo(flags.output, archive);
    return 0;
  },
});
