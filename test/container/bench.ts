import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execProcess } from "../../src/engine/plan/exec.ts";
import { testConfig, testImage } from "../../src/engine/plan/plan.fixture.ts";
import { complete, plan } from "../../src/engine/plan/plan.ts";
import { createContainerBackend } from "../../src/isolation/container/index.ts";
import { removeCgroup } from "../../src/lib/cgroup.ts";
import { encodeFrame, FrameDecoder, FrameType } from "../../src/lib/frame.ts";
import { exitFile, instanceFolder, logFile, type Paths, resolvePaths } from "../../src/lib/paths.ts";
import { Undo } from "../../src/lib/undo.ts";
import { newId } from "../../src/model/ids.ts";
import type { InstanceConfig, InstanceRecord, SandboxRecord } from "../../src/model/instance.ts";
import type { ImageSource } from "../../src/ports/image.ts";
import type { OpenRequest } from "../../src/ports/isolation.ts";
import type { ExitRecord, Session, Supervisor } from "../../src/ports/supervisor.ts";
import { createSupervisors } from "../../src/supervisor/index.ts";

const libexec = process.env.GANTRY_LIBEXEC ?? resolve(import.meta.dir, "../../build");
const encoder = new TextEncoder();

/** Rooms of their own in a temporary folder, with busybox as the only image. */
export class ContainerBench implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "gantry-container-"));
  readonly paths: Paths = {
    ...resolvePaths({ root: join(this.folder, "root"), run: join(this.folder, "run") }),
    libexec,
  };
  /** GANTRY_SHIM names a folder with another build of the supervisor, e.g. a sanitized one, that runs the sandboxes. */
  readonly supervisors = {
    ...createSupervisors({ paths: { libexec: process.env.GANTRY_SHIM ?? libexec } }),
    program: join(libexec, "gantry-supervisor"),
  };
  readonly backend = createContainerBackend({ paths: this.paths, supervisors: this.supervisors });
  readonly lower = join(this.folder, "layer");
  readonly live = new Set<Box>();

  constructor() {
    const bin = join(this.lower, "bin");
    mkdirSync(bin, { recursive: true });
    for (const name of ["etc", "tmp", "root"]) mkdirSync(join(this.lower, name));
    copyFileSync("/bin/busybox", join(bin, "busybox"));
    execFileSync("/bin/busybox", ["--install", "-s", bin]);
    execFileSync("/bin/busybox", [
      "sh",
      "-c",
      `cd ${bin} && for f in *; do [ $f = busybox ] || ln -sf busybox $f; done`,
    ]);
    writeFileSync(
      join(this.lower, "etc/passwd"),
      "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n",
    );
    writeFileSync(join(this.lower, "etc/group"), "root:x:0:\nalice:x:1000:\nstaff:x:50:alice\n");
    writeFileSync(join(this.lower, "etc/plain"), "no program\n");
    writeFileSync(join(this.lower, "bin/garbage"), "\x01\x02\x03 no program either\n", { mode: 0o755 });
  }

  get image(): ImageSource {
    const config = testImage({ Env: ["PATH=/bin"] });
    return {
      digest: `sha256:${"0".repeat(64)}`,
      manifest: {
        schemaVersion: 2,
        mediaType: "",
        config: { mediaType: "", digest: "", size: 0 },
        layers: [],
      },
      config,
      layers: async () => [this.lower],
      disk: () => Promise.reject(new Error("not for a container")),
    };
  }

  /** An instance with its writable layer; nothing runs yet. */
  async make(own: Partial<InstanceConfig>): Promise<Box> {
    const id = newId();
    const config = testConfig({ network: "none", ...own });
    const instance: InstanceRecord = {
      id,
      project: "default",
      name: id.slice(0, 8),
      config,
      imageDigest: "",
      state: "starting",
      sandboxId: id,
      createdAt: Date.now(),
      oomKilled: false,
      generation: 1,
      restartCount: 0,
      stoppedByUser: false,
      volumes: [],
    };
    await this.backend.createLayer(instance, this.image);
    const box = new Box(this, instance);
    this.live.add(box);
    return box;
  }

  /** A box with its sandbox open and its workload running. */
  async up(command: string[], own: Partial<InstanceConfig> = {}): Promise<Box> {
    const box = await this.make({ command, ...own });
    await box.open();
    await box.start();
    return box;
  }

  /** Runs a command to its end with an attached client. */
  async run(
    command: string[],
    own: Partial<InstanceConfig> = {},
    input?: Uint8Array | string,
  ): Promise<Outcome> {
    const box = await this.make({
      command,
      openStdin: input !== undefined,
      stdinOnce: input !== undefined,
      ...own,
    });
    await box.open();
    const session = await box.attach();
    const outcome = collect(session);
    await box.start();
    if (input !== undefined) send(session, input);
    try {
      return await outcome;
    } finally {
      await box.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const box of [...this.live]) await box.close();
    await removeCgroup(`/gantry/${this.paths.tag}`);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface Outcome {
  stdout: Buffer;
  stderr: Buffer;
  /** Undefined when the session ended without an exit frame. */
  status: number | undefined;
  oom: boolean;
  closed: boolean;
}

/** Reads a session to its end. */
export async function collect(session: Session): Promise<Outcome> {
  const decoder = new FrameDecoder();
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  const outcome: Outcome = {
    stdout: Buffer.alloc(0),
    stderr: Buffer.alloc(0),
    status: undefined,
    oom: false,
    closed: false,
  };
  for await (const chunk of session)
    for (const frame of decoder.push(chunk as Buffer)) {
      if (frame.type === FrameType.stdout) stdout.push(frame.payload);
      if (frame.type === FrameType.stderr) stderr.push(frame.payload);
      if (frame.type === FrameType.close) outcome.closed = true;
      if (frame.type === FrameType.exit) {
        outcome.status = frame.payload.readInt32LE(0);
        outcome.oom = (frame.payload.readUInt32LE(4) & 1) === 1;
      }
    }
  return { ...outcome, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) };
}

/** Sends input in frames, then its end. */
export function send(session: Session, input: Uint8Array | string, end = true): void {
  const bytes = typeof input === "string" ? encoder.encode(input) : input;
  for (let at = 0; at < bytes.length; at += 65536)
    session.write(encodeFrame(FrameType.stdin, bytes.subarray(at, at + 65536)));
  if (end) session.write(encodeFrame(FrameType.stdinEnd));
}

/** One instance, from its layer to its removal. */
export class Box {
  supervisor!: Supervisor;
  sandbox: SandboxRecord;
  readonly id: string;
  #undo = new Undo();

  constructor(
    readonly bench: ContainerBench,
    readonly instance: InstanceRecord,
  ) {
    this.id = instance.id;
    this.sandbox = { id: instance.sandboxId, project: "default", isolation: "container" };
  }

  get request(): OpenRequest {
    return {
      sandbox: this.sandbox,
      instance: this.instance,
      attachment: undefined,
      image: this.bench.image,
      hostMounts: [],
    };
  }

  async open(): Promise<void> {
    this.supervisor = await this.bench.backend.open(this.request, this.#undo);
    const { pid, startTime } = this.supervisor;
    this.sandbox = { ...this.sandbox, supervisor: { pid, startTime } };
  }

  async start(): Promise<number> {
    const planned = plan(this.instance, this.bench.image.config, { swapLimit: true, cpus: 2 });
    const completed = complete(planned, new Map(), undefined);
    const workload = await this.bench.backend.workload({ ...this.request, ...completed });
    return (await this.supervisor.start(workload)).pid;
  }

  attach(stdin = this.instance.config.openStdin): Promise<Session> {
    return this.supervisor.attach(this.id, { stdin, stdout: true, stderr: true });
  }

  async execSession(
    args: string[],
    own: { tty?: boolean; openStdin?: boolean; user?: string; workdir?: string; name?: string } = {},
  ): Promise<Session> {
    const process = execProcess(
      this.instance.config,
      { args, tty: own.tty ?? false },
      { env: ["PATH=/bin"], cwd: own.workdir ?? "/" },
    );
    const spec = { process, user: own.user ?? "", openStdin: own.openStdin ?? false };
    return (await this.supervisor.exec(this.id, own.name ?? newId(), spec)).session;
  }

  async exec(
    args: string[],
    own: Parameters<Box["execSession"]>[1] = {},
    input?: Uint8Array | string,
  ): Promise<Outcome> {
    const session = await this.execSession(args, { openStdin: input !== undefined, ...own });
    const outcome = collect(session);
    if (input !== undefined) send(session, input);
    return await outcome;
  }

  /** Waits for the exit event or, when that was missed, the exit file. */
  async ended(): Promise<ExitRecord> {
    await this.supervisor.closed;
    return JSON.parse(readFileSync(exitFile(this.bench.paths, this.id), "utf8"));
  }

  get log(): { log: string; stream: string; time: string; raw?: string }[] {
    const path = logFile(this.bench.paths, this.id);
    const files = [`${path}.2`, `${path}.1`, path].filter(existsSync);
    return files
      .map((file) => readFileSync(file, "utf8"))
      .join("")
      .trimEnd()
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  }

  async close(): Promise<void> {
    this.bench.live.delete(this);
    this.supervisor?.disconnect();
    await this.bench.backend.close(this.sandbox);
    await this.bench.backend.removeLayer(this.id);
  }

  get folder(): string {
    return instanceFolder(this.bench.paths, this.id);
  }
}
