import { command } from "../command.ts";

export default command({
  usage: "IMAGE NAME[:TAG]",
  about: "Gives an image a further name.",
  flags: {},
  args: [2, 2],
  examples: [
    ["gantry tag debian:bookworm base:2026-01", "A name for a certain state"],
    ["gantry tag 3f2a9c41d0aa tools", "By the beginning of its digest"],
  ],
  async run({ api }, [reference, name]) {
    await api.tagImage(reference!, name!);
    return 0;
  },
});
