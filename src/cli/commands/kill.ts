import { command, value } from "../command.ts";
import { forEach } from "../for-each.ts";

export default command({
  usage: "[flags] INSTANCE...",
  about: "Sends a signal to the first process of instances.",
  flags: {
    signal: value("SIGNAL", "By name or number, default KILL", {
      short: "s",
      completes: ["KILL", "TERM", "HUP", "INT", "USR1", "USR2"],
    }),
  },
  later: { all: "", a: "" },
  args: [1, Number.POSITIVE_INFINITY],
  examples: [
    ["gantry kill web", "End it at once"],
    ["gantry kill -s HUP web", "Have it read its configuration again"],
  ],
  run: ({ api }, references, flags) => forEach(references, (reference) => api.kill(reference, flags.signal)),
});
