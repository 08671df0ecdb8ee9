import { GantryError } from "../model/errors.ts";
import { newId } from "../model/ids.ts";
import type { ExecConfig, ExecView } from "../ports/engine.ts";
import type { Session } from "../ports/supervisor.ts";
import { type Context, emit, instanceOf, liveOf, planFacts } from "./context.ts";
import { execProcess } from "./plan/exec.ts";
import { mergeEnv } from "./plan/merge.ts";
import { RelaySession } from "./relay.ts";
import { viewOf } from "./view.ts";

const limit = 4096;
/** What an exec ends with when the supervisor is killed around it. */
const killed = 137;
/** Ended or never started ones are kept this long for whoever asks. */
const keep = 5 * 60_000;

/** An exec, in the engine's memory only. */
export interface ExecEntry extends ExecView {
  project: string;
  generation: number;
  /** Milliseconds since the epoch of the last thing that happened to it. */
  touched: number;
}

/** See ports/engine.ts. */
export async function createExec(
  context: Context,
  project: string,
  reference: string,
  config: ExecConfig,
): Promise<ExecView> {
  const record = context.state.findInstance(project, reference);
  if (record.state === "paused")
    throw new GantryError("conflict", `instance ${record.name} is paused: unpause it before exec`);
  liveOf(context, record);
  if (config.args.length === 0 || config.args[0] === "")
    throw new GantryError("invalid", "no command to run: give one after the instance");
  if (config.workdir && !config.workdir.startsWith("/"))
    throw new GantryError("invalid", `working folder ${JSON.stringify(config.workdir)} is not absolute`);
  sweep(context);
  const entry: ExecEntry = {
    id: newId(),
    instance: record.id,
    project,
    config,
    running: false,
    generation: record.generation,
    touched: Date.now(),
  };
  context.execs.set(entry.id, entry);
  emit(context, record, `exec_create: ${config.args.join(" ").slice(0, 256)}`, { execID: entry.id });
  return view(entry);
}

/** See ports/engine.ts. */
export async function startExec(context: Context, project: string, exec: string): Promise<Session> {
  const entry = find(context, project, exec);
  if (entry.running || entry.exitCode !== undefined)
    throw new GantryError("conflict", `exec ${exec.slice(0, 12)} was started already`);
  const record = instanceOf(context, entry.instance);
  const live = liveOf(context, record);
  if (record.generation !== entry.generation)
    throw new GantryError("conflict", `instance ${record.name} was started again since the exec was made`);
  const { effective } = await viewOf(context, record);
  entry.running = true;
  entry.touched = Date.now();
  const ended = (exitCode: number) => {
    if (!entry.running) return;
    entry.running = false;
    entry.exitCode = exitCode;
    entry.touched = Date.now();
    emit(context, record, "exec_die", { execID: exec, exitCode: String(exitCode) });
  };
  try {
    const { pid, session } = await live.supervisor.exec(record.id, exec, {
      process: execProcess(
        record.config,
        entry.config,
        {
          env: mergeEnv(effective.env, entry.config.tty ? ["TERM=xterm"] : [], entry.config.env),
          cwd: entry.config.workdir ?? effective.workdir,
        },
        planFacts(context, record.config.isolation).capabilities,
      ),
      user: entry.config.user ?? effective.user,
      openStdin: entry.config.openStdin,
    });
    entry.pid = pid;
    emit(context, record, `exec_start: ${entry.config.args.join(" ").slice(0, 256)}`, { execID: exec });
    const relay = new RelaySession({
      drain: true,
      lostExit: killed,
      onExit: ended,
      onClose: () => ended(killed),
    });
    relay.connect(session);
    return relay;
  } catch (error) {
    ended(GantryError.from(error).exitStatus ?? 126);
    throw error;
  }
}

/** See ports/engine.ts. */
export const inspectExec = async (context: Context, project: string, exec: string): Promise<ExecView> =>
  view(find(context, project, exec));

/** See ports/engine.ts. */
export async function resizeExec(
  context: Context,
  project: string,
  exec: string,
  rows: number,
  columns: number,
): Promise<void> {
  const entry = find(context, project, exec);
  const record = instanceOf(context, entry.instance);
  if (!entry.running) throw new GantryError("conflict", `exec ${exec.slice(0, 12)} is not running`);
  await liveOf(context, record).supervisor.resize(record.id, rows, columns, exec);
}

function find(context: Context, project: string, exec: string): ExecEntry {
  const entry = context.execs.get(exec);
  if (entry?.project !== project) throw new GantryError("not_found", `no such exec: ${exec.slice(0, 64)}`);
  return entry;
}

const view = ({ project: _, generation: __, touched: ___, ...rest }: ExecEntry): ExecView => rest;

/** Drops what nobody will ask for any more; throws `exhausted` when that is not enough. */
function sweep(context: Context): void {
  const before = Date.now() - keep;
  for (const [id, entry] of context.execs)
    if (!entry.running && entry.touched < before) context.execs.delete(id);
  if (context.execs.size < limit) return;
  for (const [id, entry] of context.execs)
    if (!entry.running && context.execs.size >= limit) context.execs.delete(id);
  if (context.execs.size >= limit)
    throw new GantryError("exhausted", `${limit} execs run at once; wait until some have ended`);
}
