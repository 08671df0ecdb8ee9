import { command } from "../command.ts";
import { attachStreams, configOf, createFlags, laterFlags } from "../run-flags.ts";
import { print } from "../stdio.ts";

export default command({
  usage: "[flags] IMAGE [COMMAND] [ARG...]",
  about: "Creates an instance of an image without starting it, and prints its id.",
  flags: createFlags,
  later: laterFlags,
  args: [1, Number.POSITIVE_INFINITY],
  stopAtPositional: true,
  failure: 125,
  examples: [
    ["gantry create --name web -p 8080:80 localhost/debian", "A container, ready to start"],
    ["gantry create --vm -it debian bash", "The same image behind its own kernel"],
  ],
  async run({ api }, [image, ...rest], flags) {
    attachStreams(flags.attach);
    const config = configOf(flags, image!, rest);
    const { id } = await api.create({ ...config, stdinOnce: config.openStdin && !config.tty }, flags.name);
    await print(`${id}\n`);
    return 0;
  },
});
