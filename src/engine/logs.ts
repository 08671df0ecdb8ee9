import { type FSWatcher, watch as watchFiles } from "node:fs";
import { instanceFolder } from "../lib/paths.ts";
import type { LogLine, LogOptions } from "../ports/engine.ts";
import type { Context } from "./context.ts";
import { LogReader } from "./log-file.ts";
import { logPath } from "./sandbox.ts";

/** How long a change may go unseen when the kernel does not tell of it. */
const pollInterval = 250;
const goingOn = new Set(["starting", "running", "paused", "stopping", "restarting"]);

/** See ports/engine.ts. Following ends when the instance has ended and all its output was given. */
export async function* logs(
  context: Context,
  project: string,
  reference: string,
  options: LogOptions,
  signal: AbortSignal,
): AsyncGenerator<LogLine> {
  const { id } = context.state.findInstance(project, reference);
  const wanted = (line: LogLine) =>
    (line.stream === "stdout" ? options.stdout : options.stderr) &&
    (options.since === undefined || line.time >= options.since) &&
    (options.until === undefined || line.time <= options.until);
  const runs = () => goingOn.has(context.state.instances.get(id)?.state ?? "");
  const reader = await LogReader.open(logPath(context, id), options.tail, wanted);
  const change = options.follow ? changes(instanceFolder(context.paths, id)) : undefined;
  try {
    for (;;) {
      const over = !options.follow || !runs() || (options.until !== undefined && Date.now() > options.until);
      for await (const line of reader.read()) {
        if (signal.aborted) return;
        if (wanted(line)) yield line;
      }
      if (over || signal.aborted) return;
      await change?.next(signal);
    }
  } finally {
    change?.close();
    await reader.close();
  }
}

/** Wakes when something in the folder changes, and in any case after a while. */
function changes(folder: string) {
  let wake = () => {};
  let dirty = false;
  let watcher: FSWatcher | undefined;
  try {
    watcher = watchFiles(folder, () => {
      dirty = true;
      wake();
    });
    watcher.on("error", () => {});
  } catch {
    // no inotify watches left: the timer below does
  }
  return {
    async next(signal: AbortSignal): Promise<void> {
      if (!dirty)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, pollInterval);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
          signal.addEventListener("abort", wake, { once: true });
        });
      signal.removeEventListener("abort", wake);
      dirty = false;
    },
    close: () => watcher?.close(),
  };
}
