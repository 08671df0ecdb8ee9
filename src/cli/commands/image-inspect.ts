import { command, value } from "../command.ts";
import { inspectAll } from "../inspect-all.ts";
import { imageDetails } from "../views/image-details.ts";

export default command({
  usage: "[flags] IMAGE...",
  about: "Shows everything about images, as a JSON array or by a template.",
  flags: { format: value("TEMPLATE", "Show by a template: {{.Config.Cmd}}, or json", { short: "f" }) },
  later: { platform: "" },
  args: [1, Number.POSITIVE_INFINITY],
  examples: [
    ["gantry image inspect debian", "Everything"],
    ["gantry image inspect -f '{{json .Config}}' debian", "Its configuration"],
  ],
  run: ({ api }, references, flags) =>
    inspectAll(
      references,
      async (reference) => imageDetails(await api.inspectImage(reference)),
      flags.format,
    ),
});
