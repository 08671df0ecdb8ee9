import { version } from "../../lib/version.ts";
import { bool, command, value } from "../command.ts";
import { print } from "../stdio.ts";

export default command({
  usage: "[flags]",
  about: "Shows the version of this program.",
  flags: {
    format: value("TEMPLATE", "Show by a template: {{.Version}}"),
    json: bool("Show as JSON"),
  },
  args: [0, 0],
  examples: [
    ["gantry version", "The version"],
    ["gantry version --format '{{.Version}}'", "Nothing but the number"],
  ],
  async run(_context, _args, flags) {
    const facts = { Version: version, Os: process.platform, Arch: process.arch };
    if (flags.json || flags.format !== undefined) {
      const { printInspected } = await import("../listing.ts");
      await printInspected([facts], flags.json ? "json" : flags.format);
    } else await print(`gantry ${version}\n`);
    return 0;
  },
});
