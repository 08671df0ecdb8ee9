import { bool, command, list, value } from "../command.ts";
import { listFlags, printListing } from "../listing.ts";
import { parseFilters } from "../values/env.ts";
import { parseInteger } from "../values/number.ts";
import { instanceRow } from "../views/instance-row.ts";

export default command({
  usage: "[flags]",
  about: "Lists the running instances, newest first; all of them with -a.",
  flags: {
    ...listFlags,
    all: bool("Stopped ones too", { short: "a" }),
    filter: list("NAME=VALUE", "Only some: name, id, label, status, ancestor, isolation, volume", {
      short: "f",
    }),
    last: value("NUMBER", "Only the newest ones, in whatever state", { short: "n" }),
    latest: bool("Only the newest one", { short: "l" }),
  },
  later: { size: "", s: "" },
  args: [0, 0],
  examples: [
    ["gantry ps -a", "Everything there is"],
    ["gantry ps -q --filter isolation=vm", "The ids of the running VMs"],
    ["gantry ps --format 'table {{.Names}}\\t{{.Status}}\\t{{.Isolation}}'", "Columns of one's own"],
  ],
  async run({ api }, _args, flags) {
    const filters = parseFilters(flags.filter, [
      "name",
      "id",
      "label",
      "status",
      "ancestor",
      "isolation",
      "volume",
    ]);
    const last = flags.latest
      ? 1
      : flags.last === undefined
        ? undefined
        : parseInteger("--last", flags.last, -1);
    const limited = last !== undefined && last >= 0;
    const all = (flags.all ?? false) || limited || filters.status !== undefined;
    let views = await api.list({ all, filters });
    views.sort((a, b) => b.createdAt - a.createdAt);
    if (limited) views = views.slice(0, last);
    const whole = flags["no-trunc"] ?? false;
    await printListing(
      {
        rows: views.map((view) => instanceRow(view, whole || flags.json === true)),
        key: "ID",
        columns: [
          ["ID", "ID"],
          ["IMAGE", "Image"],
          ["COMMAND", "Command"],
          ["CREATED", "RunningFor"],
          ["STATUS", "Status"],
          ["PORTS", "Ports"],
          ["NAMES", "Names"],
          ["ISOLATION", "Isolation"],
        ],
      },
      flags,
    );
    return 0;
  },
});
