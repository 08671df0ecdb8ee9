import { command, list, value } from "../command.ts";
import { showProgress } from "../progress.ts";
import { readSource } from "../source.ts";
import { print } from "../stdio.ts";

export default command({
  usage: "[flags] FILE|- [NAME[:TAG]]",
  about: "Makes a one-layer image from a root file system's tar, plain, gzip or zstd, and prints its digest.",
  flags: {
    change: list(
      "INSTRUCTION",
      "Apply a Dockerfile instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME, WORKDIR",
      { short: "c" },
    ),
    message: value("TEXT", "A comment for its history", { short: "m" }),
  },
  later: { platform: "", quiet: "", q: "" },
  args: [1, 2],
  examples: [
    ["gantry import rootfs.tar.gz tools", "From a file"],
    ["tar -C root -c . | gantry import -c 'CMD [\"/bin/sh\"]' - tools", "From a folder"],
  ],
  async run({ api }, [path, name], flags) {
    const source = await readSource("import", path);
    using progress = showProgress();
    const { digest } = await api.importImage(
      source,
      { name, changes: flags.change, message: flags.message },
      progress.report,
    );
    await print(`${digest}\n`);
    return 0;
  },
});
