import { type ChildProcess, spawn } from "node:child_process";
import { Duplex } from "node:stream";
import { encodeFrame, FrameDecoder, FrameType } from "../../lib/frame.ts";
import { GantryError } from "../../model/errors.ts";
import { newId } from "../../model/ids.ts";
import type { InstanceConfig } from "../../model/instance.ts";
import type { Engine, ExecConfig, InstanceView } from "../../ports/engine.ts";
import type { Session } from "../../ports/supervisor.ts";

/** The exit frame of the protocol. */
export function exitFrame(code: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeInt32LE(code, 0);
  return encodeFrame(FrameType.exit, payload);
}

/** A session over a child process: pieces are frames, back-pressure is the pipe's. */
function processSession(start: () => ChildProcess): { session: Session; begin: () => Promise<number> } {
  const decoder = new FrameDecoder();
  let child: ChildProcess | undefined;
  let wake = () => {};
  const feed = (type: number, payload: Buffer) => {
    if (type === FrameType.stdin) child?.stdin?.write(payload);
    else if (type === FrameType.stdinEnd) child?.stdin?.end();
    else if (type === FrameType.signal) child?.kill(payload.readUInt32LE(0));
  };
  const early: [number, Buffer][] = [];
  const session = new Duplex({
    allowHalfOpen: true,
    write(piece: Buffer, _encoding, done) {
      for (const frame of decoder.push(piece))
        if (child) feed(frame.type, Buffer.from(frame.payload));
        else early.push([frame.type, Buffer.from(frame.payload)]);
      if (child?.stdin?.writableNeedDrain) child.stdin.once("drain", () => done());
      else done();
    },
    read() {
      wake();
    },
  });
  const push = (piece: Buffer): Promise<void> => {
    if (session.destroyed || session.push(piece)) return Promise.resolve();
    return new Promise((resolve) => {
      wake = resolve;
    });
  };
  const begin = async (): Promise<number> => {
    child = start();
    child.stdin?.on("error", () => {});
    for (const [type, payload] of early) feed(type, payload);
    const pump = async (stream: NodeJS.ReadableStream, type: FrameType) => {
      for await (const piece of stream as AsyncIterable<Buffer>) await push(encodeFrame(type, piece));
    };
    const ended = new Promise<number>((resolve) =>
      child!.once("close", (code, signal) => resolve(code ?? (signal ? 137 : 1))),
    );
    await Promise.all([pump(child.stdout!, FrameType.stdout), pump(child.stderr!, FrameType.stderr)]);
    const code = await ended;
    await push(exitFrame(code));
    session.push(null);
    return code;
  };
  return { session, begin };
}

interface Fake {
  view: InstanceView;
  attached?: ReturnType<typeof processSession>;
  ended: Promise<number>;
  end: (code: number) => void;
  child?: ChildProcess;
}

/**
 * An engine for tests of the API's and the CLI's mechanics only: an instance is a process of this host
 * without any wall. It must never be used for anything else.
 */
export class FakeEngine {
  readonly instances = new Map<string, Fake>();
  readonly execs = new Map<string, ExecConfig & { id: string }>();
  /** What was called, with its arguments. */
  readonly calls: unknown[][] = [];
  archive: AsyncIterable<Uint8Array> = (async function* () {})();
  received = 0;

  find(reference: string): Fake {
    for (const [id, fake] of this.instances)
      if (id.startsWith(reference) || fake.view.name === reference) return fake;
    throw new GantryError("not_found", `there is no instance ${JSON.stringify(reference)}`);
  }

  async create(project: string, name: string | undefined, config: InstanceConfig): Promise<InstanceView> {
    this.calls.push(["create", project, name, config]);
    if (config.image === "missing") throw new GantryError("not_found", `there is no image "missing"`);
    const id = newId();
    let end = (_code: number) => {};
    const ended = new Promise<number>((resolve) => {
      end = resolve;
    });
    const view = {
      id,
      project,
      name: name ?? `fake-${id.slice(0, 6)}`,
      config,
      imageDigest: `sha256:${"0".repeat(64)}`,
      state: "created",
      sandboxId: id,
      createdAt: Date.now(),
      oomKilled: false,
      generation: 0,
      restartCount: 0,
      stoppedByUser: false,
      volumes: [],
      publishedPorts: config.ports,
      effective: {
        args: config.command ?? ["cat"],
        env: config.env,
        workdir: "/",
        user: "",
        stopSignal: "SIGTERM",
        exposedPorts: [],
        labels: config.labels,
      },
      logPath: "/nowhere",
    } as InstanceView;
    this.instances.set(id, { view, ended, end });
    return view;
  }

  async start(_project: string, reference: string): Promise<InstanceView> {
    const fake = this.find(reference);
    const [program, ...args] = fake.view.effective.args;
    if (program === "absent")
      throw new GantryError("not_found", `"absent" is not in the image`, { exitStatus: 127 });
    fake.view.state = "running";
    fake.view.startedAt = Date.now();
    const begin = () => {
      fake.child = spawn(program!, args, { stdio: "pipe" });
      if (!fake.view.config.openStdin) fake.child.stdin!.end();
      return fake.child;
    };
    this.begin = begin;
    fake.attached ??= processSession(() => begin());
    this.#start(fake, begin);
    return fake.view;
  }
  begin: () => ChildProcess = () => {
    throw new Error("not started");
  };
  #start(fake: Fake, begin: () => ChildProcess): void {
    this.begin = begin;
    void fake.attached!.begin().then((code) => {
      fake.view.state = "exited";
      fake.view.exitCode = code;
      fake.view.finishedAt = Date.now();
      if (fake.view.config.autoRemove) this.instances.delete(fake.view.id);
      fake.end(code);
    });
  }

  async attach(_project: string, reference: string): Promise<Session> {
    const fake = this.find(reference);
    fake.attached = processSession(() => this.begin());
    return fake.attached.session;
  }
  async wait(_project: string, reference: string) {
    return { exitCode: await this.find(reference).ended, oomKilled: false };
  }
  async kill(_project: string, reference: string, signal: string): Promise<void> {
    this.calls.push(["kill", reference, signal]);
    this.find(reference).child?.kill(signal as NodeJS.Signals);
  }
  async inspect(_project: string, reference: string): Promise<InstanceView> {
    return this.find(reference).view;
  }
  async list(project: string, filter: unknown): Promise<InstanceView[]> {
    this.calls.push(["list", project, filter]);
    return [...this.instances.values()].map((fake) => fake.view).filter((view) => view.project === project);
  }
  async remove(_project: string, reference: string): Promise<void> {
    const fake = this.find(reference);
    fake.child?.kill("SIGKILL");
    this.instances.delete(fake.view.id);
  }
  async createExec(_project: string, reference: string, config: ExecConfig) {
    const id = newId();
    this.execs.set(id, { ...config, id });
    return { id, instance: this.find(reference).view.id, config, running: false };
  }
  async startExec(_project: string, exec: string): Promise<Session> {
    const config = this.execs.get(exec);
    if (!config) throw new GantryError("not_found", `there is no exec ${JSON.stringify(exec)}`);
    if (config.args[0] === "absent")
      throw new GantryError("not_found", `"absent" is not there`, { exitStatus: 127 });
    const { session, begin } = processSession(() => {
      const child = spawn(config.args[0]!, config.args.slice(1), { stdio: "pipe" });
      if (!config.openStdin) child.stdin!.end();
      return child;
    });
    void begin();
    return session;
  }
  async *logs(_project: string, _reference: string, _options: unknown, signal: AbortSignal) {
    yield {
      stream: "stdout",
      time: 0,
      timestamp: "2026-01-02T03:04:05.000000000Z",
      data: Buffer.from("good\n"),
    };
    yield {
      stream: "stderr",
      time: 0,
      timestamp: "2026-01-02T03:04:05.000000001Z",
      data: Buffer.from([0xff, 0x0a]),
    };
    if (!(_options as { follow: boolean }).follow) return;
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    this.calls.push(["logs aborted"]);
  }
  async *events(_project: string, _options: unknown, _signal: AbortSignal) {
    yield {
      time: 1,
      type: "container",
      action: "start",
      id: "a",
      project: "default",
      attributes: { name: "x" },
    };
    throw new GantryError("unavailable", "the source broke");
  }
  async readArchive() {
    return { stat: { name: "x", size: 1, mode: 0o100644, mtime: 0, linkTarget: "" }, tar: this.archive };
  }
  async writeArchive(
    _project: string,
    _reference: string,
    path: string,
    tar: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    if (path === "/refused") throw new GantryError("denied", "no");
    for await (const piece of tar) {
      this.received += piece.length;
      if (path === "/slow") await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** The fake as the server takes it. */
export const asEngine = (fake: FakeEngine): Engine => fake as unknown as Engine;
