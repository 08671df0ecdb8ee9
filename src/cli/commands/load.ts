import { bool, command, value } from "../command.ts";
import { showProgress } from "../progress.ts";
import { readSource } from "../source.ts";
import { print } from "../stdio.ts";

export default command({
  usage: "[flags]",
  about:
    "Loads images from an oci-archive or docker-archive, plain, gzip or zstd, from a file or standard input.",
  flags: {
    input: value("FILE", "Read this file", { short: "i", completes: "file" }),
    quiet: bool("Show no progress", { short: "q" }),
  },
  later: { platform: "" },
  args: [0, 0],
  examples: [
    ["gantry load -i image.tar", "From a file"],
    ["docker save debian | gantry load", "From another engine"],
  ],
  async run({ api }, _args, flags) {
    const source = await readSource("load", flags.input);
    using progress = showProgress(flags.quiet);
    const images = await api.loadImages(source, progress.report);
    for (const { name, digest } of images)
      await print(name === undefined ? `Loaded image ID: ${digest}\n` : `Loaded image: ${name}\n`);
    return 0;
  },
});
