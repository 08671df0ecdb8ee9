import { GantryError } from "../../model/errors.ts";
import { shortId } from "../../model/ids.ts";
import type { InstanceView } from "../../ports/engine.ts";
import type { Stats } from "../../ports/supervisor.ts";
import { bool, command } from "../command.ts";
import { showMemory, showSize } from "../human.ts";
import { listFlags, printListing, type Row } from "../listing.ts";
import { print } from "../stdio.ts";

type Sample = Stats & { time: number; onlineCpus: number };

const percent = (part: number, whole: number | undefined): string =>
  whole ? `${((part / whole) * 100).toFixed(2)}%` : "--";

function row(view: InstanceView, before: Sample | undefined, now: Sample | undefined, whole: boolean): Row {
  const base = {
    ID: whole ? view.id : shortId(view.id),
    Container: view.name,
    Name: view.name,
    Isolation: view.config.isolation,
  };
  if (!now)
    return {
      ...base,
      CPUPerc: "--",
      MemUsage: "-- / --",
      MemPerc: "--",
      NetIO: "--",
      BlockIO: "--",
      PIDs: "--",
    };
  const elapsed = before ? (now.time - before.time) * 1e6 : 0;
  return {
    ...base,
    CPUPerc: before && elapsed > 0 ? percent(Math.max(0, now.cpuNs - before.cpuNs), elapsed) : "0.00%",
    MemUsage: `${showMemory(now.memory)} / ${now.memoryLimit === undefined ? "no limit" : showMemory(now.memoryLimit)}`,
    MemPerc: percent(now.memory, now.memoryLimit),
    NetIO: `${showSize(now.netRx)} / ${showSize(now.netTx)}`,
    BlockIO: `${showSize(now.blockRead)} / ${showSize(now.blockWrite)}`,
    PIDs: String(now.pids),
  };
}

export default command({
  usage: "[flags] [INSTANCE...]",
  about: "Shows what instances use, again each second. In a VM the figures are the workload's own.",
  flags: {
    format: listFlags.format,
    json: listFlags.json,
    "no-trunc": listFlags["no-trunc"],
    all: bool("Stopped ones too", { short: "a" }),
    "no-stream": bool("Show it once and end"),
  },
  later: { latest: "", l: "", interval: "", i: "" },
  args: [0, Number.POSITIVE_INFINITY],
  examples: [
    ["gantry stats", "All that run, live"],
    ["gantry stats --no-stream web", "One of them, once"],
  ],
  async run({ api }, references, flags) {
    const views = (): Promise<InstanceView[]> =>
      references.length > 0
        ? Promise.all(references.map((r) => api.inspect(r)))
        : api.list({ all: flags.all ?? false });
    const sample = async (view: InstanceView): Promise<Sample | undefined> => {
      if (view.state !== "running" && view.state !== "paused") return undefined;
      try {
        return await api.stats(view.id);
      } catch (error) {
        if (GantryError.from(error).code === "internal") throw error;
        return undefined; // it ended meanwhile
      }
    };
    let before = new Map<string, Sample | undefined>();
    for (let first = true; ; first = false) {
      const current = await views();
      const now = new Map(
        await Promise.all(current.map(async (view) => [view.id, await sample(view)] as const)),
      );
      // A share of CPU time needs two samples.
      if (!first || now.size === 0) {
        if (!flags["no-stream"] && process.stdout.isTTY) await print(Buffer.from("\x1b[2J\x1b[H"));
        await printListing(
          {
            rows: current.map((view) =>
              row(view, before.get(view.id), now.get(view.id), flags["no-trunc"] ?? false),
            ),
            key: "ID",
            columns: [
              ["ID", "ID"],
              ["NAME", "Name"],
              ["CPU %", "CPUPerc"],
              ["MEM USAGE / LIMIT", "MemUsage"],
              ["MEM %", "MemPerc"],
              ["NET I/O", "NetIO"],
              ["BLOCK I/O", "BlockIO"],
              ["PIDS", "PIDs"],
            ],
          },
          { format: flags.format, json: flags.json },
        );
        if (flags["no-stream"]) return 0;
      }
      before = now;
      await new Promise((resolve) => setTimeout(resolve, first && flags["no-stream"] ? 500 : 1000));
    }
  },
});
