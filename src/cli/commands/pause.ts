import { command } from "../command.ts";
import { forEach } from "../for-each.ts";

export default command({
  usage: "INSTANCE...",
  about: "Freezes all processes of instances; a VM's are frozen inside the guest.",
  flags: {},
  later: { all: "", a: "" },
  args: [1, Number.POSITIVE_INFINITY],
  examples: [
    ["gantry pause web", "Freeze it"],
    ["gantry pause web db", "Several at once"],
  ],
  run: ({ api }, references) => forEach(references, (reference) => api.pause(reference)),
});
