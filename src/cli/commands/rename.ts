import { command } from "../command.ts";

export default command({
  usage: "INSTANCE NAME",
  about: "Gives an instance another name.",
  flags: {},
  args: [2, 2],
  examples: [
    ["gantry rename web web-old", "Make room for a new one"],
    ["gantry rename 4f1c web", "By the beginning of its id"],
  ],
  async run({ api }, [reference, name]) {
    await api.rename(reference!, name!);
    return 0;
  },
});
