import { command, list, UsageError, value } from "../command.ts";
import { print } from "../stdio.ts";
import { parseLabels } from "../values/env.ts";

export default command({
  usage: "[flags] [NAME]",
  about: "Creates a volume, a folder that outlives instances, and prints its name.",
  flags: {
    label: list("KEY=VALUE", "Set a label", { short: "l" }),
    driver: value("local", "Only local", { short: "d", completes: ["local"] }),
  },
  later: {
    opt: "",
    o: "",
    availability: "",
    group: "",
    scope: "",
    sharing: "",
    secret: "",
    type: "",
    "limit-bytes": "",
  },
  args: [0, 1],
  examples: [
    ["gantry volume create data", "A named volume"],
    ["gantry run -v data:/var/lib/app debian app", "Use it"],
  ],
  async run({ api }, [name], flags) {
    if (flags.driver !== undefined && flags.driver !== "local")
      throw new UsageError(`--driver ${JSON.stringify(flags.driver)} is not supported yet: only local`);
    const volume = await api.createVolume(name, parseLabels("--label", flags.label));
    await print(`${volume.name}\n`);
    return 0;
  },
});
