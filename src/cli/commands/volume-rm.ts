import { bool, command } from "../command.ts";
import { forEach } from "../for-each.ts";

export default command({
  usage: "[flags] VOLUME...",
  about: "Removes volumes with all that is in them; one that an instance uses is kept.",
  flags: { force: bool("A missing one is no error", { short: "f" }) },
  later: { all: "", a: "", time: "", t: "" },
  args: [1, Number.POSITIVE_INFINITY],
  examples: [
    ["gantry volume rm data", "Remove a volume"],
    ["gantry volume rm $(gantry volume ls -q -f dangling=true)", "Remove all that nothing uses"],
  ],
  run: ({ api }, names, flags) =>
    forEach(
      names,
      (name) => api.removeVolume(name, flags.force ?? false),
      (error) => flags.force === true && error.code === "not_found",
    ),
});
