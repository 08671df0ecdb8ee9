import { command, UsageError } from "../command.ts";
import { print } from "../stdio.ts";

export default command({
  usage: "bash|zsh|fish",
  about:
    "Prints the completion script of a shell. Names of instances, images and volumes are looked up as you type.",
  flags: {},
  args: [1, 1],
  examples: [
    ["source <(gantry completion bash)", "In this bash"],
    ['gantry completion zsh > "${fpath[1]}/_gantry"', "For every zsh"],
    ["gantry completion fish > ~/.config/fish/completions/gantry.fish", "For every fish"],
  ],
  async run(_context, [shell]) {
    const { completedCommands } = await import("../completion/model.ts");
    if (shell === "bash")
      await print((await import("../completion/bash.ts")).bashScript(await completedCommands()));
    else if (shell === "zsh")
      await print((await import("../completion/zsh.ts")).zshScript(await completedCommands()));
    else if (shell === "fish")
      await print((await import("../completion/fish.ts")).fishScript(await completedCommands()));
    else throw new UsageError(`completion knows bash, zsh and fish, not ${JSON.stringify(shell)}`);
    return 0;
  },
});
