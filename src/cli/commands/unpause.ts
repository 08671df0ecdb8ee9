import { command } from "../command.ts";
import { forEach } from "../for-each.ts";

export default command({
  usage: "INSTANCE...",
  about: "Thaws paused instances.",
  flags: {},
  later: { all: "", a: "" },
  args: [1, Number.POSITIVE_INFINITY],
  examples: [
    ["gantry unpause web", "Let it go on"],
    ["gantry unpause web db", "Several at once"],
  ],
  run: ({ api }, references) => forEach(references, (reference) => api.unpause(reference)),
});
