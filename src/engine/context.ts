import { KeyedLock } from "../lib/lock.ts";
import type { Paths } from "../lib/paths.ts";
import { GantryError } from "../model/errors.ts";
import type { InstanceRecord, SandboxRecord } from "../model/instance.ts";
import type { Isolation } from "../model/isolation.ts";
import type { Images } from "../ports/image.ts";
import type { IsolationBackend } from "../ports/isolation.ts";
import type { Network } from "../ports/network.ts";
import type { State } from "../ports/state.ts";
import type { ExitRecord, Supervisor, Supervisors } from "../ports/supervisor.ts";
import type { Volumes } from "../ports/volume.ts";
import { EventLog } from "./event-log.ts";
import type { ExecEntry } from "./exec.ts";
import { hostFacts } from "./host.ts";
import type { LimitFacts } from "./plan/resources.ts";
import type { RelaySession } from "./relay.ts";

/** The rooms that the engine works with. */
export interface Ports {
  paths: Paths;
  state: State;
  images: Images;
  volumes: Volumes;
  network: Network;
  supervisors: Supervisors;
  backends: Record<Isolation, IsolationBackend>;
  /** Version of this build. */
  version: string;
  /** The state's integrity, for `doctor`: "ok" or what is wrong. */
  checkState?: () => string;
}

/** A sandbox whose supervisor this engine is connected to. */
export interface Live {
  supervisor: Supervisor;
  /** By instance id: resolves with the exit record, or undefined when the supervisor went without one. */
  exits: Map<
    string,
    { promise: Promise<ExitRecord | undefined>; resolve(exit: ExitRecord | undefined): void }
  >;
}

export interface Outcome {
  exitCode: number;
  oomKilled: boolean;
  error?: string;
}

/** What every verb is given: the rooms, and the engine's memory. Nothing in it is needed by a running instance. */
export interface Context extends Ports {
  lock: KeyedLock;
  events: EventLog;
  /** By sandbox id. */
  live: Map<string, Live>;
  /** By instance id: attaches that wait for its start. */
  held: Map<string, Set<{ session: RelaySession; streams: AttachStreams }>>;
  execs: Map<string, ExecEntry>;
  /** By instance id: who waits for an exit or the removal. */
  waiters: Map<string, Set<(what: "exit" | "removed", outcome: Outcome) => void>>;
  /** By instance id: a restart that is due, and the pause before the next. */
  restarts: Map<string, { timer?: NodeJS.Timeout; delay: number }>;
  /** By instance id: how long the steps of the last start took. */
  phases: Map<string, Record<string, number>>;
  limitFacts: LimitFacts;
  /** Resolved when records and machine agree: what is due by itself waits for it. */
  ready: PromiseWithResolvers<void>;
  /** The engine is going away: nothing new begins. */
  closing: boolean;
}

export interface AttachStreams {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

export const createContext = (ports: Ports): Context => ({
  ...ports,
  lock: new KeyedLock(),
  events: new EventLog(),
  live: new Map(),
  held: new Map(),
  execs: new Map(),
  waiters: new Map(),
  restarts: new Map(),
  phases: new Map(),
  limitFacts: hostFacts(),
  ready: Promise.withResolvers(),
  closing: false,
});

/** The instance's record as it is now; it may have gone since `id` was looked up. */
export function instanceOf(context: Context, id: string): InstanceRecord {
  const record = context.state.instances.get(id);
  if (!record) throw new GantryError("not_found", `no such instance: ${id.slice(0, 12)}`);
  return record;
}

export function sandboxOf(context: Context, instance: InstanceRecord): SandboxRecord {
  const record = context.state.sandboxes.get(instance.sandboxId);
  if (!record)
    throw new GantryError(
      "corrupt",
      `instance ${instance.name} has lost its sandbox's record; remove it by \`gantry rm -f ${instance.name}\``,
    );
  return record;
}

export const backendOf = (context: Context, sandbox: { isolation: Isolation }): IsolationBackend =>
  context.backends[sandbox.isolation];

/** What of host and wall a plan depends on. */
export function planFacts(context: Context, isolation: Isolation): LimitFacts {
  const capabilities = context.backends[isolation].capabilities?.();
  return { ...context.limitFacts, ...(capabilities && { capabilities }) };
}

/** The connection to a running instance's supervisor. Throws `conflict` when it does not run. */
export function liveOf(context: Context, instance: InstanceRecord): Live {
  const live = context.live.get(instance.sandboxId);
  if (!live || (instance.state !== "running" && instance.state !== "paused" && instance.state !== "stopping"))
    throw new GantryError("conflict", `instance ${instance.name} is not running; start it first`);
  return live;
}

/** Changes some fields of the record durably and returns it. */
export function update(context: Context, id: string, change: Partial<InstanceRecord>): InstanceRecord {
  const record = { ...instanceOf(context, id), ...change };
  context.state.instances.put(record);
  return record;
}

export function updateSandbox(context: Context, id: string, change: Partial<SandboxRecord>): SandboxRecord {
  const before = context.state.sandboxes.get(id);
  if (!before) throw new GantryError("internal", `no record of sandbox ${id.slice(0, 12)}`);
  const record = { ...before, ...change };
  context.state.sandboxes.put(record);
  return record;
}

/** A workload's process exists: running, paused or on its way out. */
export const isActive = (record: InstanceRecord): boolean =>
  record.state === "running" || record.state === "paused" || record.state === "stopping";

export function emit(
  context: Context,
  instance: InstanceRecord,
  action: string,
  attributes: Record<string, string> = {},
): void {
  context.events.add({
    time: Date.now(),
    type: "container",
    action,
    id: instance.id,
    project: instance.project,
    attributes: {
      ...instance.config.labels,
      image: instance.config.image,
      name: instance.name,
      isolation: instance.config.isolation,
      ...attributes,
    },
  });
}
