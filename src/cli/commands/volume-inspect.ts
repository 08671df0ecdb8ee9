import { command, value } from "../command.ts";
import { inspectAll } from "../inspect-all.ts";
import { volumeDetails } from "../views/volume-details.ts";

export default command({
  usage: "[flags] VOLUME...",
  about: "Shows everything about volumes, as a JSON array or by a template.",
  flags: { format: value("TEMPLATE", "Show by a template: {{.Mountpoint}}, or json", { short: "f" }) },
  args: [1, Number.POSITIVE_INFINITY],
  examples: [
    ["gantry volume inspect data", "Everything"],
    ["gantry volume inspect -f '{{.Mountpoint}}' data", "Where it is on the host"],
  ],
  run: ({ api }, names, flags) =>
    inspectAll(names, async (name) => volumeDetails(await api.inspectVolume(name)), flags.format),
});
