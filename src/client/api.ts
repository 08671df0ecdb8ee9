import type { DoctorFinding, EngineEvent, EngineInfo, ExecView, InstanceView } from "../ports/engine.ts";
import type { ImageSummary } from "../ports/image.ts";
import type { PathStat, Stats } from "../ports/supervisor.ts";
import type { Volume } from "../ports/volume.ts";
import { ClientSession, type OutputSink } from "./session.ts";
import { part, Transport, type TransportOptions } from "./transport.ts";
import type {
  ExecOptions,
  ImageView,
  LogQuery,
  LogRecord,
  NewConfig,
  WaitResult,
  WorkProgress,
} from "./types.ts";
import { envList } from "./types.ts";

type Filters = Record<string, string[]>;
const filtersText = (filters: Filters | undefined): string | undefined =>
  filters && Object.keys(filters).length > 0 ? JSON.stringify(filters) : undefined;

/** Every call of the native API, one method each. All throw GantryError. */
export class Api {
  readonly transport: Transport;

  constructor(options: TransportOptions) {
    this.transport = new Transport(options);
  }

  /** Ends kept connections. */
  close(): void {
    this.transport.close();
  }

  #instance(reference: string, verb = ""): string {
    return `/v1/instances/${part(reference)}${verb}`;
  }

  ping(): Promise<{ ok: boolean; pid: number }> {
    return this.transport.json("GET", "/v1/ping");
  }
  info(): Promise<EngineInfo> {
    return this.transport.json("GET", "/v1/info");
  }
  doctor(): Promise<DoctorFinding[]> {
    return this.transport.json("GET", "/v1/doctor");
  }

  create(config: NewConfig, name?: string): Promise<InstanceView> {
    return this.transport.json("POST", "/v1/instances", { body: { name, config } });
  }
  list(options: { all?: boolean; filters?: Filters } = {}): Promise<InstanceView[]> {
    const query = { all: options.all, filters: filtersText(options.filters) };
    return this.transport.json("GET", "/v1/instances", { query });
  }
  inspect(reference: string): Promise<InstanceView> {
    return this.transport.json("GET", this.#instance(reference));
  }
  start(reference: string): Promise<InstanceView> {
    return this.transport.json("POST", this.#instance(reference, "/start"));
  }
  stop(reference: string, timeout?: number): Promise<void> {
    return this.transport.json("POST", this.#instance(reference, "/stop"), { query: { timeout } });
  }
  restart(reference: string, timeout?: number): Promise<InstanceView> {
    return this.transport.json("POST", this.#instance(reference, "/restart"), { query: { timeout } });
  }
  kill(reference: string, signal?: string): Promise<void> {
    return this.transport.json("POST", this.#instance(reference, "/kill"), { query: { signal } });
  }
  pause(reference: string): Promise<void> {
    return this.transport.json("POST", this.#instance(reference, "/pause"));
  }
  unpause(reference: string): Promise<void> {
    return this.transport.json("POST", this.#instance(reference, "/unpause"));
  }
  rename(reference: string, name: string): Promise<void> {
    return this.transport.json("POST", this.#instance(reference, "/rename"), { body: { name } });
  }
  remove(reference: string, query: { force?: boolean; volumes?: boolean } = {}): Promise<void> {
    return this.transport.json("DELETE", this.#instance(reference), { query });
  }
  /** Resolves when the wait counts; `value` when the instance has ended. */
  wait(
    reference: string,
    condition?: "not-running" | "next-exit" | "removed",
  ): Promise<{ value: Promise<WaitResult> }> {
    return this.transport.late("POST", this.#instance(reference, "/wait"), { query: { condition } });
  }
  resize(reference: string, rows: number, columns: number): Promise<void> {
    return this.transport.json("POST", this.#instance(reference, "/resize"), { body: { rows, columns } });
  }
  stats(reference: string): Promise<Stats & { time: number; onlineCpus: number }> {
    return this.transport.json("GET", this.#instance(reference, "/stats"));
  }
  statsStream(
    reference: string,
    signal?: AbortSignal,
  ): AsyncIterable<Stats & { time: number; onlineCpus: number }> {
    return this.transport.lines("GET", this.#instance(reference, "/stats/stream"), { signal });
  }

  async *logs(reference: string, query: LogQuery = {}, signal?: AbortSignal): AsyncGenerator<LogRecord> {
    type Line = { stream: "stdout" | "stderr"; timestamp: string; text?: string; raw?: string };
    for await (const line of this.transport.lines<Line>("GET", this.#instance(reference, "/logs"), {
      query: { ...query },
      signal,
    })) {
      const data = line.raw === undefined ? Buffer.from(line.text ?? "") : Buffer.from(line.raw, "base64");
      yield { stream: line.stream, timestamp: line.timestamp, data };
    }
  }

  async attach(
    reference: string,
    streams: { stdin?: boolean; stdout?: boolean; stderr?: boolean },
    sink: OutputSink,
  ): Promise<ClientSession> {
    const { socket, head } = await this.transport.session(this.#instance(reference, "/attach"), {
      query: streams,
    });
    return new ClientSession(socket, head, sink);
  }

  createExec(
    reference: string,
    args: readonly string[],
    options: Omit<ExecOptions, "input"> & { openStdin?: boolean } = {},
  ): Promise<ExecView> {
    const body = { ...options, args, env: envList(options.env) };
    return this.transport.json("POST", this.#instance(reference, "/execs"), { body });
  }
  inspectExec(exec: string): Promise<ExecView> {
    return this.transport.json("GET", `/v1/execs/${part(exec)}`);
  }
  async startExec(exec: string, sink: OutputSink): Promise<ClientSession> {
    const { socket, head } = await this.transport.session(`/v1/execs/${part(exec)}/start`);
    return new ClientSession(socket, head, sink);
  }

  statPath(reference: string, path: string): Promise<PathStat> {
    return this.transport.json("GET", this.#instance(reference, "/stat"), { query: { path } });
  }
  /** A tar stream of `path`, entries named from its last part. */
  async readArchive(
    reference: string,
    path: string,
  ): Promise<{ stat: PathStat; tar: AsyncIterable<Uint8Array> }> {
    const { headers, body } = await this.transport.bytes("GET", this.#instance(reference, "/archive"), {
      query: { path },
    });
    const stat = JSON.parse(
      Buffer.from(String(headers["x-gantry-path-stat"]), "base64").toString(),
    ) as PathStat;
    return { stat, tar: body };
  }
  /** Unpacks a tar stream into the folder `path`. */
  writeArchive(reference: string, path: string, tar: AsyncIterable<Uint8Array>): Promise<void> {
    return this.transport.json("PUT", this.#instance(reference, "/archive"), {
      query: { path },
      upload: tar,
    });
  }

  events(
    options: { since?: number; until?: number; filters?: Filters } = {},
    signal?: AbortSignal,
  ): AsyncIterable<EngineEvent> {
    const query = { since: options.since, until: options.until, filters: filtersText(options.filters) };
    return this.transport.lines("GET", "/v1/events", { query, signal });
  }

  images(): Promise<ImageSummary[]> {
    return this.transport.json("GET", "/v1/images");
  }
  inspectImage(reference: string): Promise<ImageView> {
    return this.transport.json("GET", `/v1/images/${part(reference)}`);
  }
  tagImage(reference: string, name: string): Promise<void> {
    return this.transport.json("POST", `/v1/images/${part(reference)}/tag`, { body: { name } });
  }
  removeImage(reference: string, force = false): Promise<{ untagged: string[]; deleted: string[] }> {
    return this.transport.json("DELETE", `/v1/images/${part(reference)}`, { query: { force } });
  }

  async #work<T>(lines: AsyncIterable<Record<string, unknown>>, progress?: WorkProgress): Promise<T> {
    let result: T | undefined;
    for await (const line of lines) {
      if (line.progress) progress?.(line.progress as Parameters<WorkProgress>[0]);
      else result = line.result as T;
    }
    return result as T;
  }
  loadImages(archive: AsyncIterable<Uint8Array>, progress?: WorkProgress): Promise<ImageView[]> {
    return this.#work(this.transport.lines("POST", "/v1/image-archives", { upload: archive }), progress);
  }
  importImage(
    tar: AsyncIterable<Uint8Array>,
    options: { name?: string; changes?: string[]; message?: string } = {},
    progress?: WorkProgress,
  ): Promise<ImageView> {
    const query = { name: options.name, change: options.changes, message: options.message };
    return this.#work(this.transport.lines("POST", "/v1/image-imports", { query, upload: tar }), progress);
  }
  async saveImages(
    references: readonly string[],
    format: "oci-archive" | "docker-archive" = "oci-archive",
  ): Promise<AsyncIterable<Uint8Array>> {
    const query = { reference: references, format };
    return (await this.transport.bytes("GET", "/v1/image-archives", { query })).body;
  }
  bootstrap(
    options: { distribution: string; include?: string[]; name?: string },
    progress?: WorkProgress,
  ): Promise<ImageView> {
    return this.#work(this.transport.lines("POST", "/v1/image-bootstraps", { body: options }), progress);
  }

  volumes(): Promise<(Volume & { usedBy: string[] })[]> {
    return this.transport.json("GET", "/v1/volumes");
  }
  createVolume(name?: string, labels: Record<string, string> = {}): Promise<Volume> {
    return this.transport.json("POST", "/v1/volumes", { body: { name, labels } });
  }
  inspectVolume(name: string): Promise<Volume & { usedBy: string[] }> {
    return this.transport.json("GET", `/v1/volumes/${part(name)}`);
  }
  removeVolume(name: string, force = false): Promise<void> {
    return this.transport.json("DELETE", `/v1/volumes/${part(name)}`, { query: { force } });
  }
  pruneVolumes(all = false): Promise<{ removed: string[]; bytes: number }> {
    return this.transport.json("POST", "/v1/volumes/prune", { query: { all } });
  }
}
