import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join, resolve } from "node:path";
import { encodeFrame, encodeJson, type Frame, FrameDecoder, FrameType } from "../../src/lib/frame.ts";
import { defaultMounts } from "./spec.ts";

/** Where the build under test is. */
export const build = resolve(process.env.GANTRY_LIBEXEC || join(import.meta.dirname, "../../build"));

const window = 256 * 1024;

/** One numbered stream of the guest's channel, with the credit of both directions kept. */
export class Stream {
  readonly reply: Promise<Record<string, unknown>>;
  readonly exit: Promise<{ status: number; outOfMemory: boolean }>;
  stdout: Buffer[] = [];
  stderr: Buffer[] = [];
  /** False: output is kept without giving credit back, as a client that does not read. */
  consuming = true;
  #credit = window;
  #waiting: (() => void)[] = [];
  #settleReply!: (value: Record<string, unknown>) => void;
  #settleExit!: (value: { status: number; outOfMemory: boolean }) => void;

  constructor(
    readonly guest: Guest,
    readonly id: number,
  ) {
    this.reply = new Promise((settle) => (this.#settleReply = settle));
    this.exit = new Promise((settle) => (this.#settleExit = settle));
  }

  get out(): string {
    return Buffer.concat(this.stdout).toString();
  }
  get err(): string {
    return Buffer.concat(this.stderr).toString();
  }

  take(frame: Frame): void {
    if (frame.type === FrameType.reply) this.#settleReply(JSON.parse(frame.payload.toString()));
    if (frame.type === FrameType.stdout) this.stdout.push(Buffer.from(frame.payload));
    if (frame.type === FrameType.stderr) this.stderr.push(Buffer.from(frame.payload));
    if (frame.type === FrameType.exit)
      this.#settleExit({
        status: frame.payload.readInt32LE(0),
        outOfMemory: (frame.payload.readUInt32LE(4) & 1) === 1,
      });
    if (frame.type === FrameType.credit) {
      this.#credit += frame.payload.readUInt32LE(0);
      for (const wake of this.#waiting.splice(0)) wake();
    }
    const isData = frame.type === FrameType.stdout || frame.type === FrameType.stderr;
    if (isData && this.consuming) this.grant(frame.payload.length);
  }

  grant(bytes: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32LE(bytes);
    this.guest.send(FrameType.credit, payload, this.id);
  }

  /** Sends input as far as credit goes, waiting for more. */
  async input(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; ) {
      while (this.#credit === 0) await new Promise<void>((wake) => this.#waiting.push(wake));
      const piece = data.subarray(at, at + Math.min(this.#credit, 32 * 1024));
      this.#credit -= piece.length;
      this.guest.send(FrameType.stdin, piece, this.id);
      at += piece.length;
    }
  }
  end(): void {
    this.guest.send(FrameType.stdinEnd, Buffer.alloc(0), this.id);
  }
}

export interface GuestOptions {
  /** MiB of RAM. */
  memory?: number;
  /** Host folder to share by virtiofs. */
  share?: string;
  /** A card on QEMU's own network, 10.0.2.15/24. */
  network?: boolean;
  image: string;
  layer: string;
}

/** A QEMU with the guest under test, spoken to as the host's shim does. */
export class Guest implements AsyncDisposable {
  #streams = new Map<number, Stream>();
  #control: ((reply: Record<string, unknown>) => void)[] = [];
  #next = 1;
  readonly events: Record<string, unknown>[] = [];
  readonly ended: Promise<number | null>;
  bootMs = 0;

  private constructor(
    readonly folder: string,
    readonly qemu: ChildProcess,
    readonly socket: Socket,
    readonly helpers: ChildProcess[],
  ) {
    this.ended = new Promise((settle) => qemu.once("exit", settle));
  }

  static async boot(options: GuestOptions): Promise<Guest> {
    const folder = mkdtempSync("/tmp/guest-test-");
    const manifest = JSON.parse(readFileSync(join(build, "guest/manifest.json"), "utf8"));
    const bogomips = Number(
      /^bogomips\s*:\s*([\d.]+)/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? 4000,
    );
    const khz = Math.round(bogomips * 500);
    const commandLine = [...manifest.commandLine, ...manifest.commandLineTcg]
      .join(" ")
      .replaceAll("{khz}", String(khz))
      .replaceAll("{khz*4}", String(khz * 4));
    const memory = `${options.memory ?? 512}M`;
    const helpers: ChildProcess[] = [];
    const agent = join(folder, "agent");
    const args = [
      ...["-M", "q35,accel=tcg,smm=off,sata=off,smbus=off,i8042=off,vmport=off,hpet=off,graphics=off"],
      ...[
        "-cpu",
        "max",
        "-smp",
        "1",
        "-m",
        memory,
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
      ],
      ...[
        "-kernel",
        join(build, "guest/kernel"),
        "-initrd",
        join(build, "guest/initramfs"),
        "-append",
        commandLine,
      ],
      ...["-serial", `file:${join(folder, "console")}`],
      ...["-device", "virtio-serial-pci", "-chardev", `socket,id=agent,path=${agent}`],
      ...["-device", "virtserialport,chardev=agent,name=gantry.agent"],
      ...["-drive", `if=none,id=image,file=${options.image},format=raw,readonly=on`],
      ...["-device", "virtio-blk-pci,drive=image,serial=image"],
      ...["-drive", `if=none,id=layer,file=${options.layer},format=raw`],
      ...["-device", "virtio-blk-pci,drive=layer,serial=layer"],
    ];
    if (options.network) args.push("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=");
    if (options.share) {
      const socket = join(folder, "shares");
      helpers.push(
        spawn("/usr/lib/qemu/virtiofsd", [`--socket-path=${socket}`, "-o", `source=${options.share}`], {
          stdio: "ignore",
        }),
      );
      for (let i = 0; i < 200 && !existsSync(socket); i++) await Bun.sleep(10);
      args.push(
        "-object",
        `memory-backend-memfd,id=ram,size=${memory},share=on`,
        "-machine",
        "memory-backend=ram",
      );
      args.push(
        "-chardev",
        `socket,id=shares,path=${socket}`,
        "-device",
        "vhost-user-fs-pci,chardev=shares,tag=gantry",
      );
    }
    const server = createServer();
    await new Promise<void>((settle) => server.listen(agent, settle));
    const connected = new Promise<Socket>((settle) => server.once("connection", settle));
    const started = performance.now();
    const qemu = spawn("qemu-system-x86_64", args, { stdio: ["ignore", "inherit", "inherit"] });
    const socket = await connected;
    server.close();
    const guest = new Guest(folder, qemu, socket, helpers);
    const decoder = new FrameDecoder();
    const up = new Promise<void>((settle, reject) => {
      socket.on("data", (chunk: Buffer) => {
        for (const frame of decoder.push(chunk)) {
          if (frame.type === FrameType.event && guest.events.length === 0) settle();
          guest.#take(frame);
        }
      });
      socket.on("error", () => {});
      qemu.once("exit", (code) => reject(new Error(`QEMU ended with ${code}: ${guest.console()}`)));
      setTimeout(() => reject(new Error(`no word from the guest: ${guest.console()}`)), 60000).unref();
    });
    try {
      await up;
    } catch (error) {
      await guest[Symbol.asyncDispose]();
      throw error;
    }
    guest.bootMs = performance.now() - started;
    return guest;
  }

  #take(frame: Frame): void {
    if (frame.type === FrameType.event) this.events.push(JSON.parse(frame.payload.toString()));
    else if (frame.stream === 0) this.#control.shift()?.(JSON.parse(frame.payload.toString()));
    else this.#streams.get(frame.stream)?.take(frame);
  }

  console(): string {
    const path = join(this.folder, "console");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  send(type: FrameType, payload: Uint8Array, stream: number): void {
    this.socket.write(encodeFrame(type, payload, stream));
  }

  /** A request on stream 0. */
  request(body: object): Promise<Record<string, unknown>> {
    this.socket.write(encodeJson(FrameType.request, body));
    return new Promise((settle) => this.#control.push(settle));
  }

  /** A request on a stream of its own. */
  open(body: object): Stream {
    const stream = new Stream(this, this.#next++);
    this.#streams.set(stream.id, stream);
    this.socket.write(encodeJson(FrameType.request, body, stream.id));
    return stream;
  }

  configure(more: object = {}): Promise<Record<string, unknown>> {
    return this.request({
      op: "configure",
      hostname: "box",
      time: Date.now() * 1e6,
      random: randomBytes(64).toString("base64"),
      ...more,
    });
  }

  /** Runs a command as exec of `workload` and gathers its output. */
  async run(workload: string, args: string[], more: { user?: string; process?: object } = {}) {
    const stream = this.open({
      op: "exec",
      workload,
      exec: randomBytes(8).toString("hex"),
      spec: { process: process_(args, more.process), user: more.user ?? "", openStdin: false },
    });
    const reply = await stream.reply;
    if (reply.error) return { reply, status: -1, out: "", err: "" };
    const { status } = await stream.exit;
    return { reply, status, out: stream.out, err: stream.err };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.qemu.exitCode === null && this.qemu.signalCode === null) {
      this.qemu.kill("SIGKILL");
      await this.ended;
    }
    for (const helper of this.helpers) helper.kill("SIGKILL");
    this.socket.destroy();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export const defaultCapabilities = [
  ...["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"],
  ...["CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_AUDIT_WRITE"],
  "CAP_SETFCAP",
];

export const process_ = (args: string[], more: object = {}) => ({
  terminal: false,
  user: { uid: 0, gid: 0 },
  args,
  env: ["PATH=/bin:/sbin:/usr/bin"],
  cwd: "/",
  capabilities: {
    bounding: defaultCapabilities,
    effective: defaultCapabilities,
    permitted: defaultCapabilities,
    inheritable: [],
    ambient: [],
  },
  noNewPrivileges: false,
  ...more,
});

/** A WorkloadSpec that runs `args` in the test's image. */
export function workload(
  id: string,
  args: string[],
  more: { process?: object; linux?: object; oci?: object; spec?: object } = {},
) {
  return {
    id,
    generation: 1,
    user: "",
    rootfs: { kind: "disk", image: "image", layer: "layer" },
    files: [
      { target: "/etc/hosts", content: "127.0.0.1\tlocalhost\n", mode: 0o644 },
      { target: "/etc/hostname", content: "inner\n", mode: 0o644 },
      { target: "/etc/resolv.conf", content: "nameserver 10.0.2.3\n", mode: 0o644 },
    ],
    openStdin: false,
    stdinOnce: false,
    log: { path: "", maxSize: 0, maxFiles: 0 },
    exitFile: "",
    ...more.spec,
    oci: {
      ociVersion: "1.1.0",
      hostname: "inner",
      root: { path: "", readonly: false },
      process: process_(args, more.process),
      mounts: defaultMounts,
      ...more.oci,
      linux: {
        namespaces: [],
        resources: {
          memory: { limit: 64 << 20 },
          pids: { limit: 100 },
          devices: [{ allow: false, access: "rwm" }],
        },
        maskedPaths: ["/proc/kcore", "/proc/keys", "/proc/acpi", "/sys/firmware"],
        readonlyPaths: ["/proc/sys", "/proc/sysrq-trigger"],
        ...more.linux,
      },
    },
  };
}

/** An EROFS image with busybox and an empty ext4 layer, in a folder of their own. */
export function disks(): { folder: string; image: string; layer: string } {
  const folder = mkdtempSync("/tmp/guest-disks-");
  const tree = join(folder, "tree");
  for (const name of ["bin", "etc", "root", "tmp", "home/joe"])
    mkdirSync(join(tree, name), { recursive: true });
  execFileSync("cp", ["/bin/busybox", join(tree, "bin/busybox")]);
  for (const name of execFileSync("/bin/busybox", ["--list"], { encoding: "utf8" }).trim().split("\n"))
    if (name !== "busybox") execFileSync("ln", ["-sf", "busybox", join(tree, "bin", name)]);
  Bun.write(join(tree, "etc/passwd"), "root:x:0:0::/root:/bin/sh\njoe:x:1000:1000::/home/joe:/bin/sh\n");
  Bun.write(join(tree, "etc/group"), "root:x:0:\njoe:x:1000:\nstaff:x:50:joe\n");
  Bun.write(join(tree, "etc/not-executable"), "#!/bin/sh\n");
  execFileSync("chown", ["-R", "1000:1000", join(tree, "home/joe")]);
  const image = join(folder, "image.erofs");
  const layer = join(folder, "layer.ext4");
  execFileSync("mkfs.erofs", ["-x-1", image, tree], { stdio: "ignore" });
  execFileSync("truncate", ["-s", "64M", layer]);
  execFileSync("mkfs.ext4", ["-q", "-O", "^has_journal", layer]);
  return { folder, image, layer };
}
