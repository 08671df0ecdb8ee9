import type { Socket } from "node:net";
import { FrameDecoder, FrameType } from "../lib/frame.ts";
import { GantryError } from "../model/errors.ts";
import type {
  ExecSpec,
  PathStat,
  Session,
  Stats,
  Supervisor,
  SupervisorEvent,
  SupervisorState,
  WorkloadSpec,
} from "../ports/supervisor.ts";
import { readTar, writeTar } from "./archive.ts";
import { ask, request } from "./connection.ts";
import { killProcess, startTimeOf, waitGone } from "./process.ts";
import * as wire from "./wire.ts";

const startTimeout = 120_000;

/** One live supervisor, found by its run folder. Each request is a connection of its own; one more carries the events. */
export class SupervisorClient implements Supervisor {
  readonly pid: number;
  readonly startTime: number;
  readonly closed: Promise<void>;
  readonly #folder: string;
  readonly #events: Socket;
  readonly #listeners: ((event: SupervisorEvent) => void)[] = [];
  /** Events from before the first listener: none is lost between connecting and listening. */
  #early: SupervisorEvent[] = [];

  private constructor(folder: string, pid: number, startTime: number, events: Socket) {
    this.#folder = folder;
    this.pid = pid;
    this.startTime = startTime;
    this.#events = events;
    this.closed = new Promise((resolve) => events.once("close", () => resolve()));
    const decoder = new FrameDecoder();
    events.on("error", () => {});
    events.on("data", (chunk: Buffer) => {
      try {
        for (const frame of decoder.push(chunk))
          if (frame.type === FrameType.event) this.#deliver(wire.parseJson(frame.payload));
      } catch {
        events.destroy();
      }
    });
    events.on("end", () => events.destroy());
    events.resume();
  }

  /** Connects; throws `unavailable` when nothing answers there. */
  static async connect(folder: string, timeout = 10_000): Promise<SupervisorClient> {
    const { socket } = await request(folder, { op: "events" }, timeout);
    try {
      const state = wire.parseAs(wire.State, await ask(folder, { op: "hello" }, timeout), "state");
      const startTime = await startTimeOf(state.pid);
      if (startTime === undefined) throw new GantryError("unavailable", `supervisor ${state.pid} has ended`);
      return new SupervisorClient(folder, state.pid, startTime, socket);
    } catch (error) {
      socket.on("error", () => {});
      socket.destroy();
      throw error;
    }
  }

  #deliver(value: unknown): void {
    const event = wire.parseAs(wire.Event, value, "event");
    if (this.#listeners.length === 0) {
      if (this.#early.length < 64) this.#early.push(event);
      return;
    }
    for (const listener of this.#listeners) listener(event);
  }

  onEvent(listener: (event: SupervisorEvent) => void): void {
    this.#listeners.push(listener);
    for (const event of this.#early.splice(0)) listener(event);
  }

  async hello(): Promise<SupervisorState> {
    return wire.parseAs(wire.State, await ask(this.#folder, { op: "hello" }), "state");
  }

  async start(workload: WorkloadSpec): Promise<{ pid: number }> {
    return wire.parseAs(
      wire.Started,
      await ask(this.#folder, { op: "start", workload }, startTimeout),
      "answer to start",
    );
  }

  async attach(
    workload: string,
    streams: { stdin: boolean; stdout: boolean; stderr: boolean },
  ): Promise<Session> {
    const { stdin, stdout, stderr } = streams;
    return (await request(this.#folder, { op: "attach", workload, stdin, stdout, stderr })).socket;
  }

  async exec(workload: string, exec: string, spec: ExecSpec): Promise<{ pid: number; session: Session }> {
    const { reply, socket } = await request(this.#folder, { op: "exec", workload, exec, spec }, startTimeout);
    return { pid: wire.parseAs(wire.Started, reply, "answer to exec").pid, session: socket };
  }

  async signal(workload: string, signal: number, exec?: string): Promise<void> {
    await ask(this.#folder, { op: "signal", workload, signal, exec });
  }

  async resize(workload: string, rows: number, columns: number, exec?: string): Promise<void> {
    await ask(this.#folder, { op: "resize", workload, rows, columns, exec });
  }

  async pause(workload: string): Promise<void> {
    await ask(this.#folder, { op: "pause", workload });
  }

  async resume(workload: string): Promise<void> {
    await ask(this.#folder, { op: "resume", workload });
  }

  async stats(workload: string): Promise<Stats> {
    return wire.parseAs(wire.Stats, await ask(this.#folder, { op: "stats", workload }), "stats");
  }

  async stat(workload: string, path: string): Promise<PathStat> {
    return wire.parseAs(wire.PathStat, await ask(this.#folder, { op: "stat", workload, path }), "stat");
  }

  async readArchive(
    workload: string,
    path: string,
  ): Promise<{ stat: PathStat; tar: AsyncIterable<Uint8Array> }> {
    const { reply, socket } = await request(this.#folder, { op: "archive-read", workload, path });
    return { stat: wire.parseAs(wire.Archive, reply, "archive").stat, tar: readTar(socket) };
  }

  async writeArchive(workload: string, path: string, tar: AsyncIterable<Uint8Array>): Promise<void> {
    const { socket } = await request(this.#folder, { op: "archive-write", workload, path });
    await writeTar(socket, tar);
  }

  async shutdown(timeout: number): Promise<void> {
    const end = Date.now() + timeout;
    await ask(this.#folder, { op: "shutdown", timeout }, timeout).catch(() => {});
    if (!(await waitGone(this, Math.max(end - Date.now(), 0)))) await killProcess(this);
    this.disconnect();
  }

  disconnect(): void {
    this.#events.destroy();
  }
}
