import { command, list } from "../command.ts";
import { listFlags, printListing } from "../listing.ts";
import { parseFilters } from "../values/env.ts";

const { format, json, quiet } = listFlags;

export default command({
  usage: "[flags]",
  about: "Lists volumes.",
  flags: {
    format,
    json,
    quiet,
    filter: list("NAME=VALUE", "Only some: name, label, dangling", { short: "f" }),
  },
  args: [0, 0],
  examples: [
    ["gantry volume ls", "All of them"],
    ["gantry volume ls -q -f dangling=true", "The names of those that nothing uses"],
  ],
  async run({ api }, _args, flags) {
    const filters = parseFilters(flags.filter, ["name", "label", "dangling"]);
    const volumes = (await api.volumes()).filter(({ name, labels, usedBy }) => {
      const dangling = filters.dangling?.at(-1);
      return (
        (filters.name ?? []).every((n) => name.includes(n)) &&
        (filters.label ?? []).every((l) => {
          const equals = l.indexOf("=");
          return equals < 0 ? Object.hasOwn(labels, l) : labels[l.slice(0, equals)] === l.slice(equals + 1);
        }) &&
        (dangling === undefined || (dangling === "true") === (usedBy.length === 0))
      );
    });
    await printListing(
      {
        rows: volumes.map((v) => ({
          Driver: "local",
          Name: v.name,
          Mountpoint: v.path,
          Labels: Object.entries(v.labels)
            .map(([key, text]) => `${key}=${text}`)
            .join(","),
          UsedBy: v.usedBy.join(","),
          Scope: "local",
        })),
        key: "Name",
        columns: [
          ["DRIVER", "Driver"],
          ["VOLUME NAME", "Name"],
        ],
      },
      flags,
    );
    return 0;
  },
});
