import { command, value } from "../command.ts";
import { forEach } from "../for-each.ts";
import { parseInteger } from "../values/number.ts";

export default command({
  usage: "[flags] INSTANCE...",
  about: "Stops instances and starts them again; stopped ones are just started.",
  flags: { time: value("SECONDS", "How long to wait before killing, -1 for ever", { short: "t" }) },
  later: { signal: "", s: "", all: "", a: "" },
  args: [1, Number.POSITIVE_INFINITY],
  examples: [
    ["gantry restart web", "Restart it"],
    ["gantry restart -t 2 web", "Give it two seconds to end"],
  ],
  run({ api }, references, flags) {
    const timeout = flags.time === undefined ? undefined : parseInteger("--time", flags.time, -1);
    return forEach(references, (reference) => api.restart(reference, timeout));
  },
});
