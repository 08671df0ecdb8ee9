import type { Duplex } from "node:stream";
import type { Isolation } from "../model/isolation.ts";
import type { RuntimeProcess, RuntimeSpec } from "../model/oci.ts";

/**
 * A supervisor is the process on the host that owns one sandbox: the container's init, or QEMU with its
 * agent and console. The engine may die and come back; the supervisor does not notice.
 * The wire format is docs/PROTOCOL.md; these types are its JSON payloads.
 */

/** Root file system of a workload. */
export type RootfsSpec =
  | {
      kind: "overlay";
      /** Absolute paths of the image's unpacked layers, topmost first. */
      lower: string[];
      upper: string;
      work: string;
      /** Where the supervisor mounts it, in its own mount namespace. */
      target: string;
    }
  | {
      kind: "disk";
      /** virtio-blk serials of the EROFS image and of the ext4 writable layer inside the guest. */
      image: string;
      layer: string;
    };

/** A file the engine provides over the image's (hosts, hostname, resolv.conf). */
export interface ProvidedFile {
  target: string;
  content: string;
  /** Permission bits. */
  mode: number;
}

/** Everything a supervisor needs to run one workload. Instance limits live in `oci.linux.resources`. */
export interface WorkloadSpec {
  id: string;
  /** Echoed in the exit record. */
  generation: number;
  /** `root.path` and `process.user` are filled in by the supervisor. */
  oci: RuntimeSpec;
  /** `user[:group]` as Docker reads it, looked up inside the root file system; "" is root. */
  user: string;
  rootfs: RootfsSpec;
  files: ProvidedFile[];
  openStdin: boolean;
  stdinOnce: boolean;
  /** Log file in Docker's json-file form; rotated to `<path>.1` … when larger than `maxSize` bytes. */
  log: { path: string; maxSize: number; maxFiles: number };
  /** Written (temp, fsync, rename) when the workload has ended: see ExitRecord. */
  exitFile: string;
  /** Compiled seccomp filter for the guest, base64 of `struct sock_filter[]` (vm only; crun compiles its own). */
  seccompFilter?: string;
}

/** The content of `exitFile`. */
export interface ExitRecord {
  workload: string;
  generation: number;
  /** 0–255; 128 + n for a death by signal n. */
  exitCode: number;
  oomKilled: boolean;
  /** Milliseconds since the epoch. */
  finishedAt: number;
  /** Why, when it was not the workload's own end (vm: QEMU was killed, the guest shut down by itself). */
  reason?: string;
}

/** A process to run in a workload beside its first. */
export interface ExecSpec {
  process: RuntimeProcess;
  user: string;
  openStdin: boolean;
}

export type SupervisorEvent =
  | ({ event: "exit" } & ExitRecord)
  | { event: "oom"; workload: string }
  /** The supervisor is about to end in order; nothing follows. */
  | { event: "closing"; reason: string };

/** What `hello` answers. */
export interface SupervisorState {
  version: string;
  isolation: Isolation;
  pid: number;
  workloads: {
    id: string;
    generation: number;
    state: "created" | "running" | "paused" | "exited";
    pid?: number;
    exit?: ExitRecord;
    /** Log bytes lost because they could not be written. */
    logDropped: number;
  }[];
  /** vm only: "kvm" or "tcg", and milliseconds from QEMU's spawn to the guest supervisor's hello. */
  accelerator?: string;
  bootMs?: number;
}

/** Usage of one workload. Bytes, nanoseconds, counts since start. */
export interface Stats {
  cpuNs: number;
  memory: number;
  memoryLimit?: number;
  pids: number;
  pidsLimit?: number;
  blockRead: number;
  blockWrite: number;
  netRx: number;
  netTx: number;
}

/** A file's facts as `cp` needs them. */
export interface PathStat {
  name: string;
  /** Bytes. */
  size: number;
  /** st_mode, type bits included. */
  mode: number;
  /** Milliseconds. */
  mtime: number;
  /** Target of a symlink, "" otherwise. */
  linkTarget: string;
}

/**
 * A live stream of frames for one attach or exec, after its request was accepted: bytes both ways are frames
 * of lib/frame.ts (from here: stdin, stdinEnd, resize, signal; to here: stdout, stderr, exit).
 * Back-pressure is the stream's own; it is handed over paused. Destroying it detaches; it does not end the process.
 */
export type Session = Duplex;

/** A connection to one live supervisor. Every method throws GantryError; `unavailable` when it has died. */
export interface Supervisor {
  readonly pid: number;
  readonly startTime: number;
  hello(): Promise<SupervisorState>;
  /** Starts the workload; resolves when its first process runs. Error with exitStatus 126/127 when it cannot. */
  start(workload: WorkloadSpec): Promise<{ pid: number }>;
  /** May be called before `start`, so that no output is missed. */
  attach(workload: string, streams: { stdin: boolean; stdout: boolean; stderr: boolean }): Promise<Session>;
  exec(workload: string, exec: string, spec: ExecSpec): Promise<{ pid: number; session: Session }>;
  signal(workload: string, signal: number, exec?: string): Promise<void>;
  resize(workload: string, rows: number, columns: number, exec?: string): Promise<void>;
  pause(workload: string): Promise<void>;
  resume(workload: string): Promise<void>;
  stats(workload: string): Promise<Stats>;
  stat(workload: string, path: string): Promise<PathStat>;
  /** A tar stream of `path` as it is in the workload's root file system, entries named from its last part. */
  readArchive(workload: string, path: string): Promise<{ stat: PathStat; tar: AsyncIterable<Uint8Array> }>;
  /** Unpacks a tar stream into the folder `path`. */
  writeArchive(workload: string, path: string, tar: AsyncIterable<Uint8Array>): Promise<void>;
  /** Called for each event until the supervisor is gone. */
  onEvent(listener: (event: SupervisorEvent) => void): void;
  /** Resolves when the connection is lost for good: the supervisor has ended or died. */
  readonly closed: Promise<void>;
  /** Ends the sandbox in order (guest disks synced) and resolves when the process is gone; kills it after `timeout` ms. */
  shutdown(timeout: number): Promise<void>;
  /** Drops the connection only. */
  disconnect(): void;
}

/** Spawns and finds supervisors. */
export interface Supervisors {
  /**
   * Starts a supervisor of `mode` with `config` (JSON on its standard input) and waits until its sandbox is open:
   * for a vm, until the guest answers. `folder` is its run folder, which holds `sock`.
   */
  open(mode: Isolation, folder: string, config: unknown, timeout: number): Promise<Supervisor>;
  /** Connects to a live one; undefined when none answers there. */
  connect(folder: string): Promise<Supervisor | undefined>;
  /** Kills the process that the record names (if it is still that process) and waits until it is gone. */
  kill(process: { pid: number; startTime: number }): Promise<void>;
  /** Waits until that process is gone, at most `timeout` ms; false when it is still there. */
  waitGone(process: { pid: number; startTime: number }, timeout: number): Promise<boolean>;
  /** Runs a confined one-shot mode (`unpack`, `files`, `seccomp`) of the supervisor program; see docs/PROTOCOL.md. */
  oneShot(
    args: readonly string[],
    input: AsyncIterable<Uint8Array> | Uint8Array | undefined,
  ): Promise<Buffer>;
  /** The supervisor program's path. */
  readonly program: string;
}
