import { bool, command, value } from "../command.ts";
import { stdioSink } from "../stdio.ts";
import { parseInteger } from "../values/number.ts";
import { parseTime } from "../values/time.ts";

export default command({
  usage: "[flags] INSTANCE",
  about: "Shows an instance's output as it was recorded: what went to stderr goes to stderr.",
  flags: {
    follow: bool("Go on with new output until it ends", { short: "f" }),
    tail: value("LINES", "Only the last lines, or all", { short: "n" }),
    since: value("TIME", "Only from then on: 10m, 2026-01-02T03:04:05, Unix seconds"),
    until: value("TIME", "Only until then"),
    timestamps: bool("Show the time of each line", { short: "t" }),
  },
  later: { details: "", names: "", color: "" },
  args: [1, 1],
  examples: [
    ["gantry logs web", "Everything so far"],
    ["gantry logs -f --tail 20 web", "The last 20 lines, and what follows"],
    ["gantry logs -t --since 10m web", "The last ten minutes, with times"],
  ],
  async run({ api }, [reference], flags) {
    const query = {
      follow: flags.follow ?? false,
      tail:
        flags.tail === undefined || flags.tail === "all" ? undefined : parseInteger("--tail", flags.tail, -1),
      since: flags.since === undefined ? undefined : parseTime("--since", flags.since),
      until: flags.until === undefined ? undefined : parseTime("--until", flags.until),
    };
    if (query.tail !== undefined && query.tail < 0) query.tail = undefined;
    for await (const { stream, timestamp, data } of api.logs(reference!, query)) {
      const line = flags.timestamps ? Buffer.concat([Buffer.from(`${timestamp} `), data]) : data;
      if (!stdioSink.write(line, stream)) await stdioSink.ready();
    }
    return 0;
  },
});
