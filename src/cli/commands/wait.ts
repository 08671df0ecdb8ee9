import { command } from "../command.ts";
import { messageOf } from "../fail.ts";
import { complain, print } from "../stdio.ts";

export default command({
  usage: "INSTANCE...",
  about: "Waits until instances end and prints their exit codes, one a line, in the order given.",
  flags: {},
  later: { condition: "", interval: "", i: "", ignore: "", latest: "", l: "" },
  args: [1, Number.POSITIVE_INFINITY],
  examples: [
    ["gantry wait job", "Wait for it"],
    ['exit "$(gantry wait job)"', "Take over its exit code"],
  ],
  async run({ api }, references) {
    let status = 0;
    for (const reference of references) {
      try {
        const { exitCode } = await (await api.wait(reference)).value;
        await print(`${exitCode}\n`);
      } catch (error) {
        complain(messageOf(error));
        status = 1;
      }
    }
    return status;
  },
});
