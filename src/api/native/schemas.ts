import Type, { type Static, type TSchema } from "typebox";
import {
  InstanceConfig,
  InstanceState,
  Limits,
  Mount,
  PortBinding,
  RestartPolicy,
} from "../../model/instance.ts";
import { Isolation } from "../../model/isolation.ts";
import type { DoctorFinding, EngineEvent, EngineInfo, ExecView, InstanceView } from "../../ports/engine.ts";
import type { ImageSummary } from "../../ports/image.ts";
import type { PathStat, Stats } from "../../ports/supervisor.ts";
import type { Volume } from "../../ports/volume.ts";

export const closed = { additionalProperties: false } as const;
export const Text = Type.String({ maxLength: 1 << 20 });
export const Reference = Type.String({ minLength: 1, maxLength: 1024 });
export const Texts = Type.Array(Text);
const Labels = Type.Record(Type.String(), Type.String());
const Milliseconds = Type.Number({ description: "Milliseconds since the epoch" });

export const InstanceName = Type.Object({ reference: Reference }, closed);

/** What a request may leave out is filled in from `configDefaults`. */
export const NewConfig = Type.Object(
  { ...Type.Partial(InstanceConfig).properties, image: InstanceConfig.properties.image },
  closed,
);
export const NewInstance = Type.Object({ name: Type.Optional(Text), config: NewConfig }, closed);

export const InstanceViewSchema = Type.Object({
  id: Type.String(),
  project: Type.String(),
  name: Type.String(),
  config: InstanceConfig,
  imageDigest: Type.String(),
  state: InstanceState,
  sandboxId: Type.String(),
  createdAt: Milliseconds,
  startedAt: Type.Optional(Milliseconds),
  finishedAt: Type.Optional(Milliseconds),
  exitCode: Type.Optional(Type.Integer()),
  oomKilled: Type.Boolean(),
  error: Type.Optional(Type.String()),
  generation: Type.Integer(),
  restartCount: Type.Integer(),
  stoppedByUser: Type.Boolean(),
  pid: Type.Optional(Type.Integer()),
  volumes: Type.Array(Type.Object({ name: Type.String(), target: Type.String(), anonymous: Type.Boolean() })),
  accelerator: Type.Optional(Type.String()),
  address: Type.Optional(Type.String()),
  gateway: Type.Optional(Type.String()),
  mac: Type.Optional(Type.String()),
  publishedPorts: Type.Array(PortBinding),
  effective: Type.Object({
    args: Type.Array(Type.String()),
    env: Type.Array(Type.String()),
    workdir: Type.String(),
    user: Type.String(),
    stopSignal: Type.String(),
    exposedPorts: Type.Array(Type.String()),
    labels: Labels,
  }),
  logPath: Type.String(),
  supervisorPid: Type.Optional(Type.Integer()),
  startPhases: Type.Optional(Type.Record(Type.String(), Type.Number())),
});

export const WaitResult = Type.Object({
  exitCode: Type.Integer(),
  oomKilled: Type.Boolean(),
  error: Type.Optional(Type.String()),
});

export const LogLineSchema = Type.Object({
  stream: Type.Union([Type.Literal("stdout"), Type.Literal("stderr")]),
  timestamp: Type.String({ description: "RFC 3339 with nanoseconds" }),
  text: Type.Optional(Type.String()),
  raw: Type.Optional(Type.String({ description: "Base64, when the bytes are not UTF-8" })),
});

export const ExecConfigSchema = Type.Object(
  {
    args: Type.Array(Text, { minItems: 1 }),
    env: Type.Optional(Texts),
    workdir: Type.Optional(Text),
    user: Type.Optional(Text),
    tty: Type.Optional(Type.Boolean()),
    openStdin: Type.Optional(Type.Boolean()),
  },
  closed,
);

export const ExecViewSchema = Type.Object({
  id: Type.String(),
  instance: Type.String(),
  config: Type.Object({
    args: Type.Array(Type.String()),
    env: Type.Array(Type.String()),
    workdir: Type.Optional(Type.String()),
    user: Type.Optional(Type.String()),
    tty: Type.Boolean(),
    openStdin: Type.Boolean(),
    privileged: Type.Literal(false),
  }),
  running: Type.Boolean(),
  exitCode: Type.Optional(Type.Integer()),
  pid: Type.Optional(Type.Integer()),
});

export const TerminalSize = Type.Object(
  {
    rows: Type.Integer({ minimum: 1, maximum: 65535 }),
    columns: Type.Integer({ minimum: 1, maximum: 65535 }),
  },
  closed,
);

export const StatsSchema = Type.Object({
  cpuNs: Type.Number(),
  memory: Type.Number(),
  memoryLimit: Type.Optional(Type.Number()),
  pids: Type.Integer(),
  pidsLimit: Type.Optional(Type.Integer()),
  blockRead: Type.Number(),
  blockWrite: Type.Number(),
  netRx: Type.Number(),
  netTx: Type.Number(),
  time: Milliseconds,
  onlineCpus: Type.Integer(),
});

export const PathStatSchema = Type.Object({
  name: Type.String(),
  size: Type.Number(),
  mode: Type.Integer(),
  mtime: Type.Number(),
  linkTarget: Type.String(),
});

export const EventSchema = Type.Object({
  time: Milliseconds,
  type: Type.Union([
    Type.Literal("container"),
    Type.Literal("image"),
    Type.Literal("volume"),
    Type.Literal("network"),
    Type.Literal("daemon"),
  ]),
  action: Type.String(),
  id: Type.String(),
  project: Type.String(),
  attributes: Type.Record(Type.String(), Type.String()),
});

export const ImageSchema = Type.Object({
  name: Type.Optional(Type.String()),
  digest: Type.String(),
  manifest: Type.Unknown({ description: "OCI image manifest" }),
  config: Type.Unknown({ description: "OCI image configuration" }),
});

export const ImageSummarySchema = Type.Object({
  name: Type.Optional(Type.String()),
  digest: Type.String(),
  created: Milliseconds,
  size: Type.Number(),
  instances: Type.Integer(),
});

export const RemovedImage = Type.Object({
  untagged: Type.Array(Type.String()),
  deleted: Type.Array(Type.String()),
});

const ProgressSchema = Type.Object({
  progress: Type.Object({
    step: Type.String(),
    done: Type.Optional(Type.Number()),
    total: Type.Optional(Type.Number()),
  }),
});
/** Lines of long work: any number of progress lines, then one result (or error). */
export const workLines = (result: TSchema): TSchema => Type.Union([ProgressSchema, Type.Object({ result })]);

export const VolumeSchema = Type.Object({
  project: Type.String(),
  name: Type.String(),
  anonymous: Type.Boolean(),
  createdAt: Milliseconds,
  labels: Labels,
  path: Type.String(),
});
export const VolumeInUse = Type.Object({
  ...VolumeSchema.properties,
  usedBy: Type.Array(Type.String()),
});
export const NewVolume = Type.Object({ name: Type.Optional(Text), labels: Type.Optional(Labels) }, closed);

const FactsSchema = Type.Object({
  isolation: Isolation,
  usable: Type.Boolean(),
  summary: Type.String(),
  accelerator: Type.Optional(Type.String()),
  details: Type.Record(Type.String(), Type.String()),
  advice: Type.Array(Type.String()),
});
export const InfoSchema = Type.Object({
  version: Type.String(),
  root: Type.String(),
  run: Type.String(),
  pid: Type.Integer(),
  kernel: Type.String(),
  cgroup: Type.Union([Type.Literal("v1"), Type.Literal("hybrid"), Type.Literal("v2")]),
  instances: Type.Record(Type.String(), Type.Number()),
  images: Type.Integer(),
  isolations: Type.Array(FactsSchema),
  network: Type.Record(Type.String(), Type.String()),
});
export const FindingSchema = Type.Object({
  check: Type.String(),
  status: Type.Union([Type.Literal("ok"), Type.Literal("warning"), Type.Literal("problem")]),
  message: Type.String(),
  advice: Type.Optional(Type.String()),
});
export const ErrorSchema = Type.Object({
  error: Type.Object({
    code: Type.String(),
    message: Type.String(),
    exitStatus: Type.Optional(Type.Integer()),
  }),
});

/** Schemas that the OpenAPI document names. */
export const named: Record<string, TSchema> = {
  InstanceConfig,
  NewConfig,
  Mount,
  PortBinding,
  RestartPolicy,
  Limits,
  Instance: InstanceViewSchema,
  Exec: ExecViewSchema,
  Stats: StatsSchema,
  PathStat: PathStatSchema,
  Event: EventSchema,
  Image: ImageSchema,
  ImageSummary: ImageSummarySchema,
  Volume: VolumeInUse,
  Info: InfoSchema,
  Finding: FindingSchema,
  LogLine: LogLineSchema,
  Error: ErrorSchema,
};

// The schemas must take what the engine gives: each line fails to compile when they part ways.
type Fits<Given extends Wanted, Wanted> = Given;
export type Checked = [
  Fits<InstanceView, Static<typeof InstanceViewSchema>>,
  Fits<ExecView, Static<typeof ExecViewSchema>>,
  Fits<EngineEvent, Static<typeof EventSchema>>,
  Fits<ImageSummary, Static<typeof ImageSummarySchema>>,
  Fits<PathStat, Static<typeof PathStatSchema>>,
  Fits<Stats & { time: number; onlineCpus: number }, Static<typeof StatsSchema>>,
  Fits<Volume, Static<typeof VolumeSchema>>,
  Fits<EngineInfo, Static<typeof InfoSchema>>,
  Fits<DoctorFinding, Static<typeof FindingSchema>>,
];
