import Type from "typebox";
import type { Attachment } from "./attachment.ts";
import { Isolation } from "./isolation.ts";

const closed = { additionalProperties: false } as const;
const Text = Type.String({ maxLength: 1 << 20 });

/** What is laid over the root file system at `target`. */
export const Mount = Type.Union([
  Type.Object(
    {
      type: Type.Literal("bind"),
      /** Absolute host path. */
      source: Text,
      target: Text,
      readOnly: Type.Boolean(),
      /** Docker's `-v` makes a missing source folder, `--mount` does not. */
      createSource: Type.Boolean(),
    },
    closed,
  ),
  Type.Object(
    {
      type: Type.Literal("volume"),
      /** Volume name; absent for an anonymous volume. */
      source: Type.Optional(Text),
      target: Text,
      readOnly: Type.Boolean(),
      /** Do not copy the image's files into an empty volume. */
      noCopy: Type.Boolean(),
    },
    closed,
  ),
  Type.Object(
    {
      type: Type.Literal("tmpfs"),
      target: Text,
      /** Bytes; half of RAM when absent. */
      size: Type.Optional(Type.Integer({ minimum: 0 })),
      /** Permission bits, default 0o1777. */
      mode: Type.Optional(Type.Integer({ minimum: 0, maximum: 0o7777 })),
      /** Further mount options by name (ro, noexec, exec, nosuid, suid, nodev, dev, uid=, gid=). */
      options: Type.Array(Text),
    },
    closed,
  ),
]);
export type Mount = Type.Static<typeof Mount>;

/** One published port. */
export const PortBinding = Type.Object(
  {
    /** Host address; 0.0.0.0 means all. */
    hostIp: Text,
    /** 0: the engine picks a free one. */
    hostPort: Type.Integer({ minimum: 0, maximum: 65535 }),
    containerPort: Type.Integer({ minimum: 1, maximum: 65535 }),
    protocol: Type.Union([Type.Literal("tcp"), Type.Literal("udp")]),
  },
  closed,
);
export type PortBinding = Type.Static<typeof PortBinding>;

export const RestartPolicy = Type.Object(
  {
    name: Type.Union([
      Type.Literal("no"),
      Type.Literal("on-failure"),
      Type.Literal("always"),
      Type.Literal("unless-stopped"),
    ]),
    /** Only with on-failure; 0 means without limit. */
    maxRetries: Type.Integer({ minimum: 0 }),
  },
  closed,
);
export type RestartPolicy = Type.Static<typeof RestartPolicy>;

/** Limits of the workload; absent means none. */
export const Limits = Type.Object(
  {
    /** CPUs, fractions allowed. */
    cpus: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
    /** Bytes, at least 6 MiB. */
    memory: Type.Optional(Type.Integer({ minimum: 6 << 20 })),
    pids: Type.Optional(Type.Integer({ minimum: 1 })),
    /** Bytes that the writable layer may take (`--storage-opt size=`). */
    storage: Type.Optional(Type.Integer({ minimum: 1 << 20 })),
  },
  closed,
);
export type Limits = Type.Static<typeof Limits>;

/**
 * What the user asked for, and nothing else: the image's own defaults are merged by `plan()`,
 * so that a rebuilt image is never hidden by stale copies of its defaults.
 */
export const InstanceConfig = Type.Object(
  {
    image: Text,
    isolation: Isolation,
    /** Replaces the image's ENTRYPOINT; an empty array removes it. */
    entrypoint: Type.Optional(Type.Array(Text)),
    /** Replaces the image's CMD. */
    command: Type.Optional(Type.Array(Text)),
    /** `KEY=value`, laid over the image's. */
    env: Type.Array(Text),
    workdir: Type.Optional(Text),
    /** `user[:group]`, names or numbers, looked up inside the root file system. */
    user: Type.Optional(Text),
    hostname: Type.Optional(Text),
    tty: Type.Boolean(),
    openStdin: Type.Boolean(),
    /** Close stdin when the first attached client that held it goes. */
    stdinOnce: Type.Boolean(),
    labels: Type.Record(Type.String(), Type.String()),
    mounts: Type.Array(Mount),
    readOnlyRootfs: Type.Boolean(),
    network: Type.Union([Type.Literal("nat"), Type.Literal("none")]),
    ports: Type.Array(PortBinding),
    limits: Limits,
    restart: RestartPolicy,
    /** Name or number. */
    stopSignal: Type.Optional(Text),
    /** Seconds; -1 waits for ever. */
    stopTimeout: Type.Optional(Type.Integer({ minimum: -1 })),
    capAdd: Type.Array(Text),
    capDrop: Type.Array(Text),
    noNewPrivileges: Type.Boolean(),
    autoRemove: Type.Boolean(),
  },
  closed,
);
export type InstanceConfig = Type.Static<typeof InstanceConfig>;

/** Docker's states, with `starting`/`stopping` for what is under way and `broken` for a failed undo. */
export const InstanceState = Type.Union([
  Type.Literal("created"),
  Type.Literal("starting"),
  Type.Literal("running"),
  Type.Literal("paused"),
  Type.Literal("stopping"),
  Type.Literal("restarting"),
  Type.Literal("exited"),
  Type.Literal("removing"),
  Type.Literal("broken"),
]);
export type InstanceState = Type.Static<typeof InstanceState>;

/** The durable record of an instance (a workload). Times are milliseconds since the epoch. */
export interface InstanceRecord {
  id: string;
  project: string;
  name: string;
  config: InstanceConfig;
  /** Digest of the image manifest that the instance was made from. */
  imageDigest: string;
  state: InstanceState;
  /** The sandbox that holds the workload; in container and vm it carries the instance's own id. */
  sandboxId: string;
  createdAt: number;
  startedAt?: number;
  finishedAt?: number;
  exitCode?: number;
  oomKilled: boolean;
  /** Why the last start failed or why the record is broken. */
  error?: string;
  /** Counts starts; exit records carry it, so that an old one is never taken for a new one. */
  generation: number;
  restartCount: number;
  /** The user asked it to stop: `unless-stopped` and `always` do not bring it back by themselves. */
  stoppedByUser: boolean;
  /** PID of the workload's first process: on the host for a container, in the guest for a VM. */
  pid?: number;
  /** Volumes in use, by target; anonymous ones go with `rm -v` and `--rm`. */
  volumes: { name: string; target: string; anonymous: boolean }[];
}

/** The durable record of a sandbox: the boundary, with its kernel, cgroup and network. */
export interface SandboxRecord {
  id: string;
  project: string;
  isolation: Isolation;
  /** The supervisor's process: pid and kernel start time (clock ticks), so that a reused pid is not taken for it. */
  supervisor?: { pid: number; startTime: number };
  /** What the network gave; its closer takes it back. */
  attachment?: Attachment;
  /** The uid that QEMU runs as (vm only). */
  uid?: number;
  /** Emulation label, for every surface: "kvm" or "tcg" (vm only). */
  accelerator?: string;
}
