import { GantryError } from "../../model/errors.ts";
import { bool, command } from "../command.ts";
import { messageOf } from "../fail.ts";
import { complain, print } from "../stdio.ts";

export default command({
  usage: "[flags] IMAGE...",
  about: "Removes names of images; the content goes with the last name.",
  flags: {
    force: bool("Remove the name even if instances use it; a missing one is no error", { short: "f" }),
  },
  later: { "no-prune": "", all: "", a: "", platform: "" },
  args: [1, Number.POSITIVE_INFINITY],
  examples: [
    ["gantry rmi tools:old", "Remove a name"],
    ["gantry rmi -f $(gantry images -q)", "Remove all of them"],
  ],
  async run({ api }, references, flags) {
    let status = 0;
    for (const reference of references) {
      try {
        const { untagged, deleted } = await api.removeImage(reference, flags.force ?? false);
        await print(
          [...untagged.map((n) => `Untagged: ${n}\n`), ...deleted.map((d) => `Deleted: ${d}\n`)].join(""),
        );
      } catch (error) {
        if (flags.force && GantryError.from(error).code === "not_found") continue;
        complain(messageOf(error));
        status = 1;
      }
    }
    return status;
  },
});
