// A bed for VM tests: the real backend, supervisor program, guest and QEMU, without an engine around.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { complete, plan } from "../../src/engine/plan/plan.ts";
import { createVmBackend } from "../../src/isolation/vm/index.ts";
import { type Frame, FrameDecoder, FrameType } from "../../src/lib/frame.ts";
import {
  exitFile,
  instanceFolder,
  logFile,
  type Paths,
  resolvePaths,
  sandboxFolder,
} from "../../src/lib/paths.ts";
import { Undo } from "../../src/lib/undo.ts";
import { newId } from "../../src/model/ids.ts";
import type { InstanceConfig, InstanceRecord, Mount, SandboxRecord } from "../../src/model/instance.ts";
import type { ImageSource } from "../../src/ports/image.ts";
import type { IsolationBackend } from "../../src/ports/isolation.ts";
import type { Attachment } from "../../src/ports/network.ts";
import type { ExecSpec, ExitRecord, Session, Supervisor, Supervisors } from "../../src/ports/supervisor.ts";
import { createSupervisors } from "../../src/supervisor/index.ts";

const libexec = process.env.GANTRY_LIBEXEC ?? resolve(import.meta.dir, "../../build");

/** A busybox image as an EROFS disk. */
function busyboxDisk(folder: string): string {
  const tree = join(folder, "tree");
  const disk = join(folder, "image.erofs");
  for (const name of ["bin", "tmp", "etc", "proc", "sys", "dev"])
    mkdirSync(join(tree, name), { recursive: true });
  execFileSync("cp", ["/bin/busybox", join(tree, "bin/busybox")]);
  for (const line of execFileSync("/bin/busybox", ["--list"], { encoding: "utf8" }).trim().split("\n"))
    if (line !== "busybox") symlinkSync("busybox", join(tree, "bin", line));
  execFileSync("sh", [
    "-c",
    `echo root:x:0:0:root:/root:/bin/sh > ${tree}/etc/passwd; echo root:x:0: > ${tree}/etc/group`,
  ]);
  execFileSync("mkfs.erofs", ["-Enoinline_data", disk, tree], { stdio: "ignore" });
  rmSync(tree, { recursive: true });
  return disk;
}

export interface Instance {
  record: InstanceRecord;
  sandbox: SandboxRecord;
  supervisor: Supervisor;
  /** Ends in the exit record as the event had it. */
  exit: Promise<ExitRecord>;
  shell(command: string): Promise<{ status: number; output: string }>;
}

export class Bed implements AsyncDisposable {
  readonly folder = mkdtempSync("/tmp/gantry-vm-");
  readonly paths: Paths = {
    ...resolvePaths({ root: join(this.folder, "root"), run: join(this.folder, "run") }),
    libexec,
  };
  readonly supervisors: Supervisors;
  readonly backend: IsolationBackend;
  readonly #image: ImageSource;
  readonly #sandboxes: SandboxRecord[] = [];
  #uid = 790_000 + Math.floor(Math.random() * 9000);

  constructor(own: { libexec?: string } = {}) {
    if (own.libexec) this.paths.libexec = own.libexec;
    this.supervisors = createSupervisors({ paths: this.paths });
    this.backend = createVmBackend({ paths: this.paths, supervisors: this.supervisors });
    const disk = busyboxDisk(this.folder);
    this.#image = {
      name: "localhost/busybox:latest",
      digest: "sha256:0",
      config: { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } },
      disk: async () => disk,
    } as unknown as ImageSource;
  }

  /** A record of an instance that runs `command`. */
  record(
    command: string[],
    config: Partial<InstanceConfig> = {},
  ): { record: InstanceRecord; sandbox: SandboxRecord } {
    const id = newId();
    const sandbox: SandboxRecord = { id, project: "default", isolation: "vm", uid: this.#uid++ };
    this.#sandboxes.push(sandbox);
    const record: InstanceRecord = {
      id,
      project: "default",
      name: `test-${id.slice(0, 6)}`,
      config: {
        image: "localhost/busybox:latest",
        isolation: "vm",
        command,
        env: [],
        tty: false,
        openStdin: false,
        stdinOnce: false,
        labels: {},
        mounts: [],
        readOnlyRootfs: false,
        network: "none",
        ports: [],
        limits: { memory: 96 << 20 },
        restart: { name: "no", maxRetries: 0 },
        capAdd: [],
        capDrop: [],
        noNewPrivileges: false,
        autoRemove: false,
        ...config,
      },
      imageDigest: "sha256:0",
      state: "created",
      sandboxId: id,
      createdAt: Date.now(),
      oomKilled: false,
      generation: 1,
      restartCount: 0,
      stoppedByUser: false,
      volumes: [],
    };
    mkdirSync(instanceFolder(this.paths, id), { recursive: true });
    mkdirSync(sandboxFolder(this.paths, id), { recursive: true });
    return { record, sandbox };
  }

  /** Opens the sandbox and starts the workload; `between` runs before the start. */
  async start(
    { record, sandbox }: { record: InstanceRecord; sandbox: SandboxRecord },
    attachment?: Attachment,
    between?: (supervisor: Supervisor) => Promise<void>,
  ): Promise<Instance> {
    const planned = plan(record, this.#image.config, { cpus: 2, memory: 1 << 30 } as never);
    const completed = complete(planned, new Map(), attachment);
    const request = {
      sandbox,
      instance: record,
      attachment,
      image: this.#image,
      hostMounts: completed.hostMounts,
    };
    await this.backend.createLayer(record, this.#image);
    const undo = new Undo();
    const supervisor = await this.backend.open(request, undo);
    undo.release();
    sandbox.supervisor = { pid: supervisor.pid, startTime: supervisor.startTime };
    const exit = new Promise<ExitRecord>((done, fail) => {
      supervisor.onEvent((event) => {
        if (event.event === "exit") done(event);
      });
      supervisor.closed.then(() =>
        setTimeout(() => fail(new Error("the supervisor ended without an exit")), 50),
      );
    });
    exit.catch(() => {});
    await between?.(supervisor);
    await supervisor.start(await this.backend.workload({ ...request, ...completed }));
    return {
      record,
      sandbox,
      supervisor,
      exit,
      shell: (command) => this.#shell(supervisor, record, planned, command),
    };
  }

  async #shell(
    supervisor: Supervisor,
    record: InstanceRecord,
    planned: ReturnType<typeof plan>,
    command: string,
  ) {
    const spec: ExecSpec = {
      process: { ...planned.oci.process, args: ["sh", "-c", command] },
      user: "",
      openStdin: false,
    };
    const { session } = await supervisor.exec(record.id, newId(), spec);
    return await readSession(session);
  }

  /** Files of a stopped instance. */
  async withFiles<T>(
    { record, sandbox }: { record: InstanceRecord; sandbox: SandboxRecord },
    use: Parameters<IsolationBackend["withFiles"]>[1],
  ): Promise<T> {
    const { supervisor: _, ...closed } = sandbox;
    return (await this.backend.withFiles(
      { sandbox: closed, instance: record, attachment: undefined, image: this.#image, hostMounts: [] },
      use,
    )) as T;
  }

  log(record: InstanceRecord): string {
    return readFileSync(logFile(this.paths, record.id), "utf8")
      .trim()
      .split("\n")
      .map((line) => (line === "" ? "" : (JSON.parse(line) as { log: string }).log))
      .join("");
  }

  exitRecord(record: InstanceRecord): ExitRecord | undefined {
    const path = exitFile(this.paths, record.id);
    return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as ExitRecord) : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const sandbox of this.#sandboxes) await this.backend.close(sandbox);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export const bindMount = (source: string, target: string, readOnly = false): Mount => ({
  type: "bind",
  source,
  target,
  readOnly,
  createSource: false,
});

/** All output of a session and its exit status. */
export async function readSession(session: Session): Promise<{ status: number; output: string }> {
  const decoder = new FrameDecoder();
  const parts: Buffer[] = [];
  let status = -1;
  for await (const chunk of session)
    for (const frame of decoder.push(chunk as Uint8Array) as Iterable<Frame>) {
      if (frame.type === FrameType.stdout || frame.type === FrameType.stderr)
        parts.push(Buffer.from(frame.payload));
      if (frame.type === FrameType.exit) status = frame.payload.readInt32LE(0);
    }
  return { status, output: Buffer.concat(parts).toString("utf8") };
}

/** Pids of the processes whose command line holds `text`. */
export const processesWith = (text: string): string[] =>
  readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, "utf8").includes(text);
    } catch {
      return false; // it has ended
    }
  });

/** Cgroup folders of an engine, in every hierarchy. */
export const cgroupsOf = (tag: string): string[] =>
  execFileSync("find", ["/sys/fs/cgroup", "-maxdepth", "4", "-path", `*/gantry/${tag}/*`, "-type", "d"], {
    encoding: "utf8",
  })
    .split("\n")
    .filter(Boolean);

/** Mounts below `path` that this process sees. */
export const mountsWith = (path: string): string[] =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(path));
