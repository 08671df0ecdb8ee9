import { bool, command } from "../command.ts";
import { forEach } from "../for-each.ts";

export default command({
  usage: "[flags] INSTANCE...",
  about: "Removes instances: their records, writable layers and logs.",
  flags: {
    force: bool("Kill it first if it runs; a missing one is no error", { short: "f" }),
    volumes: bool("Remove its anonymous volumes too", { short: "v" }),
  },
  later: { link: "", l: "", all: "", a: "", time: "", t: "", depend: "", ignore: "", i: "" },
  args: [1, Number.POSITIVE_INFINITY],
  examples: [
    ["gantry rm web", "Remove a stopped instance"],
    ["gantry rm -fv $(gantry ps -aq)", "Remove all of them, running or not"],
  ],
  run: ({ api }, references, flags) =>
    forEach(
      references,
      (reference) => api.remove(reference, { force: flags.force ?? false, volumes: flags.volumes ?? false }),
      (error) => flags.force === true && error.code === "not_found",
    ),
});
