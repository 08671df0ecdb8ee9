import { readFile } from "node:fs/promises";
import Type from "typebox";
import Value from "typebox/value";
import { exitFile, logFile } from "../lib/paths.ts";
import { GantryError } from "../model/errors.ts";
import type { InstanceRecord, SandboxRecord } from "../model/instance.ts";
import type { ExitRecord, Supervisor } from "../ports/supervisor.ts";
import { backendOf, type Context, emit, type Live, updateSandbox } from "./context.ts";
import { settle } from "./settle.ts";

/**
 * The closer of everything a sandbox has acquired, from its record alone: supervisor, kernel, cgroup, mounts, network.
 * Idempotent; the same for a failed start, an exit, a removal and a crash. Goes on after a failure and throws at the end.
 */
export async function closeSandbox(context: Context, sandboxId: string): Promise<void> {
  const sandbox = context.state.sandboxes.get(sandboxId);
  if (!sandbox) return;
  dropLive(context, sandboxId);
  const failures: string[] = [];
  const attempt = async (what: string, close: () => Promise<void>): Promise<boolean> => {
    try {
      await close();
      return true;
    } catch (error) {
      failures.push(`${what}: ${(error as Error).message}`);
      return false;
    }
  };
  const closed = await attempt("closing the sandbox", () => backendOf(context, sandbox).close(sandbox));
  const detached = await attempt("detaching the network", () => detach(context, sandbox));
  if (sandbox.supervisor || sandbox.attachment) {
    const { supervisor, attachment, ...rest } = sandbox;
    context.state.sandboxes.put({
      ...rest,
      ...(!closed && supervisor && { supervisor }),
      ...(!detached && attachment && { attachment }),
    });
  }
  if (failures.length > 0) throw new GantryError("internal", failures.join("; "));
}

/** Takes the network back; links and ports are free afterwards. The record keeps the fact until the sandbox is closed. */
export async function detach(context: Context, sandbox: SandboxRecord): Promise<void> {
  if (!sandbox.attachment) return;
  context.network.setNames(sandbox.project, sandbox.attachment, []);
  await context.network.detach(sandbox.attachment);
}

export function dropLive(context: Context, sandboxId: string): void {
  const live = context.live.get(sandboxId);
  if (!live) return;
  context.live.delete(sandboxId);
  for (const exit of live.exits.values()) exit.resolve(undefined);
  live.supervisor.disconnect();
}

/** The names that resolve to an instance within its project. */
export const dnsNames = (instance: InstanceRecord): string[] => [
  ...new Set([
    instance.name,
    instance.id.slice(0, 12),
    ...(instance.config.hostname ? [instance.config.hostname] : []),
  ]),
];

/** Watches a supervisor: its workload's end is settled whenever it comes, and also when the supervisor dies without a word. */
export function watch(context: Context, instance: InstanceRecord, supervisor: Supervisor): Live {
  const { id, generation } = instance;
  const live: Live = { supervisor, exits: new Map() };
  const exit = Promise.withResolvers<ExitRecord | undefined>();
  live.exits.set(id, exit);
  context.live.set(instance.sandboxId, live);
  supervisor.onEvent((event) => {
    if (event.event === "exit" && event.workload === id && event.generation === generation)
      exit.resolve(event);
    if (event.event === "oom" && event.workload === id) emit(context, instance, "oom");
  });
  supervisor.closed
    .then(() => readExit(context, id, generation))
    .then(exit.resolve, () => exit.resolve(undefined));
  // Not while the rooms are being reconciled: what is given back then would be taken for living.
  Promise.all([exit.promise, context.ready.promise])
    .then(([record]) =>
      context.closing ? undefined : context.lock.run(id, () => settle(context, id, generation, record)),
    )
    .catch((error: Error) => console.error(`gantry: settling the end of ${instance.name}: ${error.message}`));
  return live;
}

const ExitFile = Type.Object({
  workload: Type.String(),
  generation: Type.Integer(),
  exitCode: Type.Integer({ minimum: 0, maximum: 255 }),
  oomKilled: Type.Boolean(),
  finishedAt: Type.Number(),
  reason: Type.Optional(Type.String()),
});

/** The exit record that the supervisor left for this very start; undefined when there is none, or one of another start. */
export async function readExit(
  context: Context,
  instanceId: string,
  generation: number,
): Promise<ExitRecord | undefined> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(exitFile(context.paths, instanceId), "utf8"));
  } catch {
    return undefined;
  }
  if (!Value.Check(ExitFile, parsed) || parsed.workload !== instanceId || parsed.generation !== generation)
    return undefined;
  return parsed;
}

/** Records what a supervisor just opened is, so that a crash from here on finds it. */
export function recordSupervisor(context: Context, sandboxId: string, supervisor: Supervisor): SandboxRecord {
  return updateSandbox(context, sandboxId, {
    supervisor: { pid: supervisor.pid, startTime: supervisor.startTime },
  });
}

export const logPath = (context: Context, id: string): string => logFile(context.paths, id);
