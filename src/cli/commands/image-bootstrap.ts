import { bool, command, list, value } from "../command.ts";
import { showProgress } from "../progress.ts";
import { print } from "../stdio.ts";

export default command({
  usage: "[flags] busybox|debian[:SUITE]",
  about:
    "Makes localhost/busybox:latest or localhost/debian:SUITE from the distribution's own packages,\n" +
    "and prints its digest. No registry is asked.",
  flags: {
    include: list("PACKAGE,...", "Further packages"),
    name: value("NAME[:TAG]", "Another name for the image"),
    quiet: bool("Show no progress", { short: "q" }),
  },
  args: [1, 1],
  examples: [
    ["gantry image bootstrap busybox", "The smallest image"],
    [
      "gantry image bootstrap debian:bookworm --include curl,ca-certificates",
      "Debian with two packages more",
    ],
  ],
  async run({ api }, [distribution], flags) {
    const include = flags.include.flatMap((words) => words.split(",")).filter((word) => word !== "");
    using progress = showProgress(flags.quiet);
    const { digest } = await api.bootstrap(
      { distribution: distribution!, include, name: flags.name },
      progress.report,
    );
    await print(`${digest}\n`);
    return 0;
  },
});
