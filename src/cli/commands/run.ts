import { attachInstance } from "../attach-instance.ts";
import { type Context, command, UsageError } from "../command.ts";
import { parseDetachKeys } from "../detach-keys.ts";
import { defaultDetachKeys } from "../foreground.ts";
import { attachStreams, configOf, laterFlags, runFlags } from "../run-flags.ts";
import { print } from "../stdio.ts";
import { requireTerminal } from "../terminal.ts";

/** Removes what a failed start left of an instance that nobody will ask for again. */
async function discard({ api }: Context, id: string): Promise<void> {
  await api.remove(id, { force: true, volumes: true }).catch(() => {}); // the start's error says more
}

export default command({
  usage: "[flags] IMAGE [COMMAND] [ARG...]",
  about:
    "Creates an instance of an image and starts it, behind the wall that you choose with --isolation.\n" +
    "The exit status is the command's own; 125 when the engine fails, 126 when the command cannot be run,\n" +
    "127 when it is not found, 128+n when signal n ended it.",
  flags: runFlags,
  later: laterFlags,
  args: [1, Number.POSITIVE_INFINITY],
  stopAtPositional: true,
  failure: 125,
  examples: [
    ["gantry run --rm -it debian bash", "A shell in a container that is gone afterwards"],
    ["gantry run --rm --vm debian uname -r", "The same image behind its own kernel"],
    [
      "gantry run -d --name web -p 8080:80 -v ./site:/srv:ro -m 256m busybox httpd -f -h /srv",
      "A server in the background",
    ],
  ],
  async run(context, [image, ...rest], flags) {
    const { api } = context;
    const streams = attachStreams(flags.attach);
    const detached = flags.detach ?? false;
    if (detached && streams.size > 0) throw new UsageError("-d and -a contradict each other");
    if (streams.size === 0 && !detached) {
      streams.add("stdout").add("stderr");
      if (flags.interactive) streams.add("stdin");
    }
    const detachKeys = parseDetachKeys(flags["detach-keys"] ?? defaultDetachKeys);
    const config = configOf(flags, image!, rest);
    const stdin = streams.has("stdin") && config.openStdin === true;
    if (config.tty && stdin) requireTerminal();
    const created = await api.create(
      { ...config, stdinOnce: config.openStdin && !config.tty && !detached },
      flags.name,
    );

    if (detached) {
      try {
        await api.start(created.id);
      } catch (error) {
        if (flags.rm) await discard(context, created.id);
        throw error;
      }
      await print(`${created.id}\n`);
      return 0;
    }

    try {
      return await attachInstance(api, created, {
        stdin,
        stdout: streams.has("stdout"),
        stderr: streams.has("stderr"),
        detachKeys,
        signals: flags["sig-proxy"] !== false,
        condition: flags.rm ? "removed" : "next-exit",
        start: () => api.start(created.id),
      });
    } catch (error) {
      if (flags.rm) await discard(context, created.id);
      throw error;
    }
  },
});
