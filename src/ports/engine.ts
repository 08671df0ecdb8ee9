import type { InstanceConfig, InstanceRecord } from "../model/instance.ts";
import type { Images } from "./image.ts";
import type { IsolationFacts } from "./isolation.ts";
import type { PathStat, Session, Stats } from "./supervisor.ts";
import type { Volume } from "./volume.ts";

/** One thing that happened; the names and attributes are Docker's where Docker has them. */
export interface EngineEvent {
  /** Milliseconds since the epoch. */
  time: number;
  type: "container" | "image" | "volume" | "network" | "daemon";
  action: string;
  id: string;
  project: string;
  attributes: Record<string, string>;
}

/** An instance as people see it: the record with what is derived from it. */
export interface InstanceView extends InstanceRecord {
  accelerator?: string;
  address?: string;
  gateway?: string;
  mac?: string;
  /** Published ports with the host ports chosen. */
  publishedPorts: InstanceConfig["ports"];
  /** What will run, image and user merged. */
  effective: {
    args: string[];
    env: string[];
    workdir: string;
    user: string;
    stopSignal: string;
    exposedPorts: string[];
    labels: Record<string, string>;
  };
  logPath: string;
  /** Host pid of the supervisor while the sandbox is open. */
  supervisorPid?: number;
  /** Milliseconds of each step of the last start: plan, snapshot, network, open, start, total; for a vm also boot. */
  startPhases?: Record<string, number>;
}

export interface LogOptions {
  follow: boolean;
  /** Lines from the end; all when absent. */
  tail?: number;
  /** Milliseconds since the epoch. */
  since?: number;
  until?: number;
  stdout: boolean;
  stderr: boolean;
}
export interface LogLine {
  stream: "stdout" | "stderr";
  /** Milliseconds since the epoch (fractional). */
  time: number;
  /** RFC 3339 with nanoseconds, as recorded. */
  timestamp: string;
  data: Uint8Array;
}

export interface ExecConfig {
  args: string[];
  env: string[];
  workdir?: string;
  user?: string;
  tty: boolean;
  openStdin: boolean;
  privileged: false;
}
export interface ExecView {
  id: string;
  instance: string;
  config: ExecConfig;
  running: boolean;
  exitCode?: number;
  pid?: number;
}

export interface ListFilter {
  all: boolean;
  /** Docker's filters: name, id, label, status, ancestor, isolation, volume; each with its values. */
  filters: Record<string, string[]>;
}

/** The verbs. `project` scopes each; `reference` is an id, an id prefix or a name. All throw GantryError. */
export interface Engine {
  create(project: string, name: string | undefined, config: InstanceConfig): Promise<InstanceView>;
  /** Resolves when the workload runs. */
  start(project: string, reference: string): Promise<InstanceView>;
  /** Sends the stop signal, waits `timeout` seconds (the instance's own when absent), then SIGKILL. Already stopped: no error. */
  stop(project: string, reference: string, timeout?: number): Promise<void>;
  kill(project: string, reference: string, signal: string): Promise<void>;
  restart(project: string, reference: string, timeout?: number): Promise<InstanceView>;
  pause(project: string, reference: string): Promise<void>;
  unpause(project: string, reference: string): Promise<void>;
  rename(project: string, reference: string, name: string): Promise<void>;
  /** Throws `conflict` when it runs, unless `force`. With `volumes` its anonymous volumes go too. */
  remove(project: string, reference: string, options: { force: boolean; volumes: boolean }): Promise<void>;
  list(project: string, filter: ListFilter): Promise<InstanceView[]>;
  inspect(project: string, reference: string): Promise<InstanceView>;
  /** Resolves at the next exit (or removal), at once when it does not run (`not-running`). */
  wait(
    project: string,
    reference: string,
    condition: "not-running" | "next-exit" | "removed",
  ): Promise<{ exitCode: number; oomKilled: boolean; error?: string }>;
  logs(project: string, reference: string, options: LogOptions, signal: AbortSignal): AsyncIterable<LogLine>;
  /** Before start: held until the workload starts, so that nothing is missed. */
  attach(
    project: string,
    reference: string,
    streams: { stdin: boolean; stdout: boolean; stderr: boolean },
  ): Promise<Session>;
  resize(project: string, reference: string, rows: number, columns: number): Promise<void>;
  createExec(project: string, reference: string, config: ExecConfig): Promise<ExecView>;
  startExec(project: string, exec: string): Promise<Session>;
  inspectExec(project: string, exec: string): Promise<ExecView>;
  resizeExec(project: string, exec: string, rows: number, columns: number): Promise<void>;
  stats(project: string, reference: string): Promise<Stats & { time: number; onlineCpus: number }>;
  statPath(project: string, reference: string, path: string): Promise<PathStat>;
  readArchive(
    project: string,
    reference: string,
    path: string,
  ): Promise<{ stat: PathStat; tar: AsyncIterable<Uint8Array> }>;
  writeArchive(
    project: string,
    reference: string,
    path: string,
    tar: AsyncIterable<Uint8Array>,
  ): Promise<void>;
  /** From `since` (kept: the newest 4,096) and on until `until` or abort; filters as Docker's: type, event, container, image, label. */
  events(
    project: string,
    options: { since?: number; until?: number; filters: Record<string, string[]> },
    signal: AbortSignal,
  ): AsyncIterable<EngineEvent>;
  images: Images;
  createVolume(project: string, name: string | undefined, labels: Record<string, string>): Promise<Volume>;
  listVolumes(project: string): Promise<(Volume & { usedBy: string[] })[]>;
  inspectVolume(project: string, name: string): Promise<Volume & { usedBy: string[] }>;
  removeVolume(project: string, name: string, force: boolean): Promise<void>;
  pruneVolumes(project: string, all: boolean): Promise<{ removed: string[]; bytes: number }>;
  removeImage(
    project: string,
    reference: string,
    force: boolean,
  ): Promise<{ untagged: string[]; deleted: string[] }>;
  info(): Promise<EngineInfo>;
  doctor(): Promise<DoctorFinding[]>;
}

export interface EngineInfo {
  version: string;
  root: string;
  run: string;
  pid: number;
  kernel: string;
  cgroup: "v1" | "hybrid" | "v2";
  instances: Record<string, number>;
  images: number;
  isolations: IsolationFacts[];
  network: Record<string, string>;
}
export interface DoctorFinding {
  check: string;
  status: "ok" | "warning" | "problem";
  message: string;
  /** What to do about it. */
  advice?: string;
}
