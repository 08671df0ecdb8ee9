import { attachInstance } from "../attach-instance.ts";
import { bool, command, UsageError, value } from "../command.ts";
import { parseDetachKeys } from "../detach-keys.ts";
import { defaultDetachKeys } from "../foreground.ts";

export default command({
  usage: "[flags] INSTANCE",
  about:
    "Joins this terminal to the first process of a running instance. Ends with its exit code,\n" +
    "or when you detach (ctrl-p ctrl-q with a terminal): then it goes on.",
  flags: {
    "no-stdin": bool("Do not send our standard input"),
    "sig-proxy": bool("Pass signals on to the process (default true)"),
    "detach-keys": value("KEYS", "Keys that detach, default ctrl-p,ctrl-q"),
  },
  later: { latest: "", l: "" },
  args: [1, 1],
  examples: [
    ["gantry attach shell", "Take up a shell that was started with -dit"],
    ["gantry attach --no-stdin web", "Only watch"],
  ],
  async run({ api }, [reference], flags) {
    const detachKeys = parseDetachKeys(flags["detach-keys"] ?? defaultDetachKeys);
    const view = await api.inspect(reference!);
    if (view.state !== "running")
      throw new UsageError(`${view.name} is ${view.state}: attach needs a running instance`);
    return attachInstance(api, view, {
      stdin: !flags["no-stdin"],
      detachKeys,
      signals: flags["sig-proxy"] !== false,
      condition: "next-exit",
    });
  },
});
