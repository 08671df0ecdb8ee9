import type { Api } from "../client/api.ts";
import type { InstanceView } from "../ports/engine.ts";
import { explainEnd, foreground } from "./foreground.ts";
import { catchSignals } from "./signals.ts";
import { complain, stdioSink } from "./stdio.ts";
import { requireTerminal } from "./terminal.ts";

export interface AttachOptions {
  stdin: boolean;
  stdout?: boolean;
  stderr?: boolean;
  detachKeys: readonly number[];
  signals: boolean;
  condition: "next-exit" | "removed";
  /** Starts it, once attach and wait both count, so that neither output nor exit can be missed. */
  start?: () => Promise<unknown>;
}

/**
 * The engine went away while we were attached, and the instance goes on without it: the rest of the output
 * comes from its log, by way of the next engine, and the exit code too.
 */
async function followLog(api: Api, id: string, name: string, why: string): Promise<number> {
  const since = Date.now();
  complain(`gantry: ${why}; ${name} goes on, and its log is followed from here\n`);
  for await (const { stream, data } of api.logs(id, { follow: true, since }))
    if (!stdioSink.write(data, stream)) await stdioSink.ready();
  return (await (await api.wait(id)).value).exitCode;
}

/** Attaches to an instance until it ends or the user detaches; the exit status of our command. */
export async function attachInstance(
  api: Api,
  view: Pick<InstanceView, "id" | "name" | "config">,
  options: AttachOptions,
): Promise<number> {
  const { id, name, config } = view;
  const stdin = options.stdin && config.openStdin;
  if (config.tty && stdin) requireTerminal();
  const streams = { stdin, stdout: options.stdout ?? true, stderr: options.stderr ?? true };
  const [session, waiting] = await Promise.all([
    api.attach(id, streams, stdioSink),
    api.wait(id, options.condition),
  ]);
  using _signals = options.signals
    ? catchSignals((signal) => void api.kill(id, signal).catch(() => {}))
    : undefined;
  let failed: { error: unknown } | undefined;
  const end = await foreground(
    session,
    { tty: config.tty, stdin, detachKeys: options.detachKeys },
    async () => {
      try {
        await options.start?.();
      } catch (error) {
        failed = { error };
        session.detach();
      }
    },
  );
  if (failed) throw failed.error;
  if (end.kind === "detached") return 0;
  if (end.kind === "lost" && !config.tty) return followLog(api, id, name, end.message);
  if (end.kind !== "exit") explainEnd(end, name);
  const { exitCode } = await waiting.value;
  return end.kind === "exit" ? end.exitCode : exitCode;
}
