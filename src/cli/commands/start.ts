import { attachInstance } from "../attach-instance.ts";
import { bool, command, UsageError, value } from "../command.ts";
import { parseDetachKeys } from "../detach-keys.ts";
import { forEach } from "../for-each.ts";
import { defaultDetachKeys } from "../foreground.ts";

export default command({
  usage: "[flags] INSTANCE...",
  about:
    "Starts stopped instances. With -a or -i it joins this terminal to one, and ends with its exit code.",
  flags: {
    attach: bool("Attach to its output", { short: "a" }),
    interactive: bool("Send our standard input", { short: "i" }),
    "sig-proxy": bool("Pass signals on to the process when attached (default true)"),
    "detach-keys": value("KEYS", "Keys that detach, default ctrl-p,ctrl-q"),
  },
  later: { checkpoint: "", "checkpoint-dir": "", all: "", latest: "", l: "" },
  args: [1, Number.POSITIVE_INFINITY],
  examples: [
    ["gantry start web db", "Start two in the background"],
    ["gantry start -ai shell", "Start a shell and use it"],
  ],
  async run({ api }, references, flags) {
    if (!flags.attach && !flags.interactive) return forEach(references, (reference) => api.start(reference));
    if (references.length > 1) throw new UsageError("with -a or -i, start takes one instance");
    const detachKeys = parseDetachKeys(flags["detach-keys"] ?? defaultDetachKeys);
    const view = await api.inspect(references[0]!);
    return attachInstance(api, view, {
      stdin: flags.interactive ?? false,
      detachKeys,
      signals: flags["sig-proxy"] !== false,
      condition: view.config.autoRemove ? "removed" : "next-exit",
      start: view.state === "running" ? undefined : () => api.start(view.id),
    });
  },
});
