import { bool, command } from "../command.ts";
import { confirm } from "../confirm.ts";
import { showSize } from "../human.ts";
import { print } from "../stdio.ts";

export default command({
  usage: "[flags]",
  about: "Removes the anonymous volumes that no instance uses, with -a the named ones too.",
  flags: {
    all: bool("Named volumes too", { short: "a" }),
    force: bool("Do not ask", { short: "f" }),
  },
  later: { filter: "" },
  args: [0, 0],
  examples: [
    ["gantry volume prune", "Remove unused anonymous volumes"],
    ["gantry volume prune -af", "Remove everything unused without being asked"],
  ],
  async run({ api }, _args, flags) {
    const what = `This removes all ${flags.all ? "" : "anonymous "}volumes that no instance uses`;
    if (!flags.force && !(await confirm(what))) return 1;
    const { removed, bytes } = await api.pruneVolumes(flags.all ?? false);
    await print(`${removed.map((name) => `${name}\n`).join("")}Total reclaimed space: ${showSize(bytes)}\n`);
    return 0;
  },
});
