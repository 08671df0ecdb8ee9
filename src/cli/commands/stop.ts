import { command, value } from "../command.ts";
import { forEach } from "../for-each.ts";
import { parseInteger } from "../values/number.ts";

export default command({
  usage: "[flags] INSTANCE...",
  about: "Stops instances: the stop signal first, and SIGKILL when the time is over.",
  flags: { time: value("SECONDS", "How long to wait, -1 for ever", { short: "t" }) },
  later: { signal: "set --stop-signal when it is created", s: "", all: "", a: "", ignore: "", i: "" },
  args: [1, Number.POSITIVE_INFINITY],
  examples: [
    ["gantry stop web", "Stop it as it wants to be stopped"],
    ["gantry stop -t 0 web db", "Kill both without waiting"],
  ],
  run({ api }, references, flags) {
    const timeout = flags.time === undefined ? undefined : parseInteger("--time", flags.time, -1);
    return forEach(references, (reference) => api.stop(reference, timeout));
  },
});
