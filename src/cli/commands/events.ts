import type { EngineEvent } from "../../ports/engine.ts";
import { bool, command, list, value } from "../command.ts";
import { printInspected } from "../listing.ts";
import { print } from "../stdio.ts";
import { parseFilters } from "../values/env.ts";
import { parseTime } from "../values/time.ts";

/** Docker's names of an event's fields. */
const fields = ({ time, type, action, id, project, attributes }: EngineEvent) => ({
  Type: type,
  Action: action,
  Status: action,
  ID: id,
  Actor: { ID: id, Attributes: attributes },
  Project: project,
  Time: Math.floor(time / 1000),
  TimeNano: Math.round(time * 1e6),
});

export default command({
  usage: "[flags]",
  about: "Shows what happens to instances, images, volumes and networks, live.",
  flags: {
    since: value("TIME", "Begin with what happened since then"),
    until: value("TIME", "End then"),
    filter: list("NAME=VALUE", "Only some: type, event, container, image, label", { short: "f" }),
    format: value("TEMPLATE", "Show by a template: {{.Type}} {{.Action}}, or json"),
    json: bool("Show as JSON, one event a line"),
  },
  args: [0, 0],
  examples: [
    ["gantry events", "Everything from now on"],
    ["gantry events --since 1h --until 0s -f event=die", "What ended in the last hour"],
  ],
  async run({ api }, _args, flags) {
    const options = {
      since: flags.since === undefined ? undefined : parseTime("--since", flags.since),
      until: flags.until === undefined ? undefined : parseTime("--until", flags.until),
      filters: parseFilters(flags.filter, ["type", "event", "container", "image", "label"]),
    };
    for await (const event of api.events(options)) {
      if (flags.json || flags.format !== undefined) {
        await printInspected([fields(event)], flags.json ? "json" : flags.format);
        continue;
      }
      const attributes = Object.entries(event.attributes).map(([key, text]) => `${key}=${text}`);
      await print(
        `${new Date(event.time).toISOString()} ${event.type} ${event.action} ${event.id}${attributes.length > 0 ? ` (${attributes.join(", ")})` : ""}\n`,
      );
    }
    return 0;
  },
});
