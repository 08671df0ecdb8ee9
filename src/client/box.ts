import { PassThrough, type Readable } from "node:stream";
import { GantryError } from "../model/errors.ts";
import type { InstanceView } from "../ports/engine.ts";
import type { Api } from "./api.ts";
import type { ClientSession, OutputSink } from "./session.ts";
import type { ExecOptions, ExecResult, LogQuery, LogRecord, WaitResult } from "./types.ts";

const collectLimit = 64 << 20;

/** A process under way in a box. */
export interface Process {
  stdout: Readable;
  stderr: Readable;
  /** Sends input at the process's pace. */
  write(data: string | Uint8Array): Promise<void>;
  endInput(): void;
  resize(rows: number, columns: number): void;
  signal(number: number): void;
  /** Rejects with `unavailable` when the engine went away before it ended. */
  exit: Promise<{ exitCode: number; oomKilled: boolean }>;
}

class Collector implements OutputSink {
  readonly parts = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  #size = 0;
  overflow = false;

  write(data: Buffer, stream: "stdout" | "stderr"): boolean {
    this.#size += data.length;
    if (this.#size > collectLimit) this.overflow = true;
    else this.parts[stream].push(data);
    return true;
  }
  async ready(): Promise<void> {}
}

class StreamSink implements OutputSink {
  readonly stdout = new PassThrough();
  readonly stderr = new PassThrough();

  write(data: Buffer, stream: "stdout" | "stderr"): boolean {
    return this[stream].write(data);
  }
  async ready(): Promise<void> {
    for (const stream of [this.stdout, this.stderr])
      if (stream.writableNeedDrain)
        await new Promise<void>((resolve) => stream.once("drain", () => resolve()));
  }
  end(): void {
    this.stdout.end();
    this.stderr.end();
  }
}

async function exitOf(session: ClientSession): Promise<{ exitCode: number; oomKilled: boolean }> {
  const end = await session.ended;
  if (end.kind === "exit") return end;
  throw new GantryError(
    "unavailable",
    `the process's session ended early: ${end.kind === "lost" ? end.message : end.kind}`,
  );
}

/** A running instance that removes itself (and its anonymous volumes) when it goes out of scope. */
export class Box implements AsyncDisposable {
  readonly id: string;
  readonly name: string;
  readonly #api: Api;

  constructor(api: Api, view: Pick<InstanceView, "id" | "name">) {
    this.#api = api;
    this.id = view.id;
    this.name = view.name;
  }

  /** Runs a process inside and collects its output, at most 64 MiB (`exhausted` beyond). A non-zero exit is no error. */
  async exec(args: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const { input, ...config } = options;
    const sink = new Collector();
    const exec = await this.#api.createExec(this.id, args, { ...config, openStdin: input !== undefined });
    const session = await this.#api.startExec(exec.id, sink);
    if (input !== undefined) {
      await session.write(typeof input === "string" ? Buffer.from(input) : input);
      session.endInput();
    }
    const { exitCode, oomKilled } = await exitOf(session);
    if (sink.overflow)
      throw new GantryError(
        "exhausted",
        `${args[0]} wrote more than ${collectLimit >> 20} MiB: use spawn() and read it as a stream`,
      );
    const stdoutBytes = Buffer.concat(sink.parts.stdout);
    const stderrBytes = Buffer.concat(sink.parts.stderr);
    return {
      exitCode,
      oomKilled,
      stdout: stdoutBytes.toString("utf8"),
      stderr: stderrBytes.toString("utf8"),
      stdoutBytes,
      stderrBytes,
    };
  }

  /** Starts a process inside with its streams open. */
  async spawn(
    args: readonly string[],
    options: Omit<ExecOptions, "input"> & { stdin?: boolean } = {},
  ): Promise<Process> {
    const { stdin, ...config } = options;
    const sink = new StreamSink();
    const exec = await this.#api.createExec(this.id, args, { ...config, openStdin: stdin ?? false });
    const session = await this.#api.startExec(exec.id, sink);
    const exit = exitOf(session).finally(() => sink.end());
    exit.catch(() => {}); // told to whoever awaits it
    return {
      stdout: sink.stdout,
      stderr: sink.stderr,
      write: (data) => session.write(typeof data === "string" ? Buffer.from(data) : data),
      endInput: () => session.endInput(),
      resize: (rows, columns) => session.resize(rows, columns),
      signal: (number) => session.signal(number),
      exit,
    };
  }

  inspect(): Promise<InstanceView> {
    return this.#api.inspect(this.id);
  }
  logs(query: LogQuery = {}, signal?: AbortSignal): AsyncIterable<LogRecord> {
    return this.#api.logs(this.id, query, signal);
  }
  start(): Promise<InstanceView> {
    return this.#api.start(this.id);
  }
  stop(timeout?: number): Promise<void> {
    return this.#api.stop(this.id, timeout);
  }
  kill(signal?: string): Promise<void> {
    return this.#api.kill(this.id, signal);
  }
  async wait(): Promise<WaitResult> {
    return (await this.#api.wait(this.id)).value;
  }
  /** A tar stream of a path inside. */
  async read(path: string): Promise<AsyncIterable<Uint8Array>> {
    return (await this.#api.readArchive(this.id, path)).tar;
  }
  /** Unpacks a tar stream into a folder inside. */
  write(path: string, tar: AsyncIterable<Uint8Array>): Promise<void> {
    return this.#api.writeArchive(this.id, path, tar);
  }
  /** Removes it, running or not. Already gone is no error. */
  async remove(): Promise<void> {
    try {
      await this.#api.remove(this.id, { force: true, volumes: true });
    } catch (error) {
      if (!(error instanceof GantryError && error.code === "not_found")) throw error;
    }
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.remove();
  }
}
