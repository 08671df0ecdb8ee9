import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { build, defaultCapabilities, disks, Guest, process_, type Stream, workload } from "./guest.ts";
import { defaultMounts } from "./spec.ts";

/** Docker's way to say that something must not be called, in the small: everything may, but mkdir(2) says EPERM. */
function filter(): string {
  const profile = {
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: ["SCMP_ARCH_X86_64"],
    syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 1 }],
  };
  const compiled = spawnSync(join(build, "gantry-supervisor"), ["seccomp"], {
    input: JSON.stringify(profile),
  });
  expect(compiled.status).toBe(0);
  return compiled.stdout.toString("base64");
}

const tar = (folder: string, ...names: string[]) => execFileSync("tar", ["-C", folder, "-cf", "-", ...names]);

async function archive(
  guest: Guest,
  op: "archive-read" | "archive-write",
  id: string,
  path: string,
  input?: Buffer,
) {
  const stream = guest.open({ op, workload: id, path });
  const reply = await stream.reply;
  if (reply.error) return { reply, stream, status: -1 };
  if (input) {
    await stream.input(input);
    stream.end();
  }
  return { reply, stream, status: (await stream.exit).status };
}

/** Waits for a text in a stream's output. */
async function until(stream: Stream, text: string | RegExp, limit = 10000): Promise<string> {
  const end = Date.now() + limit;
  while (Date.now() < end) {
    if (typeof text === "string" ? stream.out.includes(text) : text.test(stream.out)) return stream.out;
    await Bun.sleep(10);
  }
  throw new Error(`no ${text} in ${JSON.stringify(stream.out)}`);
}

describe("the guest under QEMU", () => {
  let guest: Guest;
  let main: Stream;
  let files: ReturnType<typeof disks>;
  let host: string;
  const server = createServer((_request, response) => response.end("hello from the host"));

  beforeAll(async () => {
    files = disks();
    host = mkdtempSync("/tmp/guest-share-");
    mkdirSync(join(host, "0"));
    writeFileSync(join(host, "0/from-host"), "shared\n");
    writeFileSync(join(host, "1"), "a single file\n");
    await new Promise<void>((settle) => server.listen(0, "127.0.0.1", settle));
    guest = await Guest.boot({ ...files, share: host, network: true, memory: 384 });
    expect(guest.events[0]?.event).toBe("up");
    expect(
      await guest.configure({
        network: {
          mac: "52:54:00:12:34:56",
          address: "10.0.2.15",
          prefix: 24,
          gateway: "10.0.2.2",
          mtu: 1400,
        },
        shares: true,
      }),
    ).toEqual({});
    main = guest.open({
      op: "start",
      workload: workload(
        "w1",
        ["sh", "-c", "echo started; trap 'echo got HUP' HUP; while :; do sleep 0.2; done"],
        {
          oci: {
            mounts: [
              ...defaultMounts,
              {
                destination: "/data",
                type: "bind",
                source: "/run/gantry/shares/0",
                options: ["rbind", "rw", "rprivate"],
              },
              {
                destination: "/data-ro",
                type: "bind",
                source: "/run/gantry/shares/0",
                options: ["rbind", "ro", "rprivate"],
              },
              {
                destination: "/etc/one",
                type: "bind",
                source: "/run/gantry/shares/1",
                options: ["rbind", "ro", "rprivate"],
              },
              {
                destination: "/scratch",
                type: "tmpfs",
                source: "tmpfs",
                options: ["noexec", "size=1048576", "mode=1777"],
              },
            ],
          },
          linux: {
            resources: {
              memory: { limit: 64 << 20 },
              pids: { limit: 50 },
              cpu: { quota: 50000, period: 100000 },
              devices: [{ allow: false, access: "rwm" }],
            },
            sysctl: { "net.ipv4.ip_unprivileged_port_start": "80" },
            maskedPaths: ["/proc/kcore", "/sys/firmware"],
            readonlyPaths: ["/proc/sys", "/proc/sysrq-trigger"],
          },
          spec: { seccompFilter: filter() },
        },
      ),
    });
    expect((await main.reply).pid).toBeGreaterThan(1);
    await until(main, "started");
  }, 60000);

  afterAll(async () => {
    server.close();
    await guest?.[Symbol.asyncDispose]();
    rmSync(files.folder, { recursive: true, force: true });
    rmSync(host, { recursive: true, force: true });
  });

  const sh = (script: string, more?: Parameters<Guest["run"]>[2]) =>
    guest.run("w1", ["sh", "-c", script], more);

  test("hello names the workload", async () => {
    const hello = await guest.request({ op: "hello" });
    expect(hello.workloads).toEqual([expect.objectContaining({ id: "w1", generation: 1, state: "running" })]);
  });

  test("exec: output, error output, status", async () => {
    expect(await sh("echo out; echo err >&2; exit 3")).toMatchObject({
      status: 3,
      out: "out\n",
      err: "err\n",
    });
  });

  test("exec: a program that is not there is 127, one that cannot run 126", async () => {
    const missing = await guest.run("w1", ["no-such-program"]);
    expect(missing.reply.error).toMatchObject({ exitStatus: 127, code: "not_found" });
    expect((missing.reply.error as { message: string }).message).toContain(
      "executable file not found in $PATH",
    );
    expect((await guest.run("w1", ["/etc/not-executable"])).reply.error).toMatchObject({ exitStatus: 126 });
    expect((await guest.run("w1", ["/etc"])).reply.error).toMatchObject({ exitStatus: 126 });
  });

  test("user, groups, home, working folder made", async () => {
    const result = await sh("id; pwd; echo $HOME", { user: "joe", process: { cwd: "/made/here" } });
    expect(result.out).toBe(
      "uid=1000(joe) gid=1000(joe) groups=50(staff),1000(joe)\n/made/here\n/home/joe\n",
    );
    expect((await sh("id", { user: "nobody-here" })).reply.error).toMatchObject({ code: "invalid" });
    expect((await sh("id -u; id -g", { user: "7:8" })).out).toBe("7\n8\n");
  });

  test("capabilities, filter and no_new_privs are in the kernel's own words", async () => {
    const status = (await sh("cat /proc/self/status")).out;
    expect(/CapBnd:\s*(\w+)/.exec(status)?.[1]).toBe("00000000a80425fb");
    expect(/CapEff:\s*(\w+)/.exec(status)?.[1]).toBe("00000000a80425fb");
    expect(/Seccomp:\s*(\d)/.exec(status)?.[1]).toBe("2");
    expect(/NoNewPrivs:\s*(\d)/.exec(status)?.[1]).toBe("0");
    const restricted = await sh("cat /proc/self/status", {
      user: "joe",
      process: {
        noNewPrivileges: true,
        capabilities: {
          bounding: ["CAP_NET_RAW"],
          effective: ["CAP_NET_RAW"],
          permitted: ["CAP_NET_RAW"],
          inheritable: ["CAP_NET_RAW"],
          ambient: ["CAP_NET_RAW"],
        },
      },
    });
    expect(restricted.out).toMatch(/NoNewPrivs:\s*1/);
    expect(restricted.out).toMatch(/CapAmb:\s*0000000000002000/);
    expect(restricted.out).toMatch(/Seccomp:\s*2/);
    expect((await sh("mkdir /tmp/x")).err).toContain("Operation not permitted");
    expect(
      (await sh("true", { process: { capabilities: { bounding: ["CAP_FLY"] } } })).reply.error,
    ).toMatchObject({
      code: "invalid",
    });
  });

  test("namespaces: own pids, host name, cgroup root, read-only and masked paths", async () => {
    expect((await sh("cat /proc/1/cmdline | tr '\\0' ' '")).out).toContain("echo started");
    expect((await sh("hostname")).out).toBe("inner\n");
    expect((await sh("cat /proc/self/cgroup")).out).toBe("0::/\n");
    expect((await sh("echo 1 > /proc/sys/kernel/panic")).err).toContain("Read-only file system");
    expect((await sh("cat /proc/kcore | wc -c; ls -A /sys/firmware | wc -l")).out).toBe("0\n0\n");
    expect((await sh("mount -t tmpfs tmpfs /mnt")).status).not.toBe(0);
    expect((await sh("cat /proc/sys/net/ipv4/ip_unprivileged_port_start")).out).toBe("80\n");
  });

  test("devices: the usual ones work, the disks do not open", async () => {
    const result = await sh(
      "head -c 4 /dev/zero | wc -c; echo x > /dev/null && echo null; mknod /tmp/vda b 254 0 && cat /tmp/vda; mknod /tmp/null c 1 3 && echo y > /tmp/null && echo made",
    );
    expect(result.out).toBe("4\nnull\nmade\n");
    expect(result.err).toContain("Operation not permitted");
  });

  test("provided files and shares, both ways", async () => {
    expect((await sh("cat /etc/hosts /etc/hostname")).out).toBe("127.0.0.1\tlocalhost\ninner\n");
    expect((await sh("cat /data/from-host /etc/one")).out).toBe("shared\na single file\n");
    expect(
      (
        await sh(
          "echo back > /data/from-guest && chown 1000:50 /data/from-guest && chmod 640 /data/from-guest",
        )
      ).status,
    ).toBe(0);
    const made = join(host, "0/from-guest");
    expect(readFileSync(made, "utf8")).toBe("back\n");
    expect(statSync(made)).toMatchObject({ uid: 1000, gid: 50 });
    expect((await sh("echo no > /data-ro/x")).err).toContain("Read-only file system");
    expect(
      (await sh("cp /bin/busybox /scratch/b; /scratch/b true; dd if=/dev/zero of=/scratch/big bs=1M count=2"))
        .err,
    ).toMatch(/Permission denied[\s\S]*No space left/);
  });

  test("network: address, MTU, route, the host answers", async () => {
    const address = server.address() as { port: number };
    expect((await sh(`wget -q -O - http://10.0.2.2:${address.port}/`)).out).toBe("hello from the host");
    expect((await sh("ip -4 addr show eth0")).out).toContain("inet 10.0.2.15/24");
    expect((await sh("cat /sys/class/net/eth0/mtu")).out).toBe("1400\n");
    expect((await sh("ip addr show lo")).out).toContain("127.0.0.1/8");
  });

  test("the clock and the randomness are the host's", async () => {
    const now = Number((await sh("date +%s")).out);
    expect(Math.abs(now - Date.now() / 1000)).toBeLessThan(5);
    expect((await sh("head -c 16 /dev/urandom | od -An -tx1")).out.length).toBeGreaterThan(40);
  });

  test("exec with a terminal: size, input, Ctrl-C", async () => {
    const stream = guest.open({
      op: "exec",
      workload: "w1",
      exec: "tty",
      spec: { process: process_(["sh"], { terminal: true }), user: "", openStdin: true },
    });
    expect((await stream.reply).pid).toBeGreaterThan(1);
    expect(await guest.request({ op: "resize", workload: "w1", exec: "tty", rows: 33, columns: 77 })).toEqual(
      {},
    );
    await stream.input(Buffer.from("stty size; tty; sleep 60\n"));
    await until(stream, /33 77\r\n\/dev\/pts\/\d+\r\n/);
    for (let i = 0; i < 100 && !(await sh("ps")).out.includes("sleep 60"); i++) await Bun.sleep(50);
    await stream.input(Buffer.from("\x03exit 5\n"));
    expect(await stream.exit).toEqual({ status: 5, outOfMemory: false });
    expect(
      await guest.request({ op: "resize", workload: "w1", exec: "tty", rows: 1, columns: 1 }),
    ).toHaveProperty("error");
  });

  test("input of a megabyte goes through and comes back; a half-closed input is seen", async () => {
    const data = Buffer.alloc(1 << 20, "0123456789abcdef");
    const stream = guest.open({
      op: "exec",
      workload: "w1",
      exec: "cat",
      spec: { process: process_(["cat"]), user: "", openStdin: true },
    });
    await stream.reply;
    await stream.input(data);
    stream.end();
    expect((await stream.exit).status).toBe(0);
    expect(Buffer.concat(stream.stdout).equals(data)).toBe(true);
  });

  test("a client that does not read stops that process only", async () => {
    const slow = guest.open({
      op: "exec",
      workload: "w1",
      exec: "yes",
      spec: { process: process_(["yes"]), user: "", openStdin: false },
    });
    slow.consuming = false;
    await slow.reply;
    await Bun.sleep(1000);
    const got = slow.out.length;
    expect(got).toBeLessThanOrEqual(256 * 1024);
    expect((await sh("echo other")).out).toBe("other\n");
    expect(await guest.request({ op: "signal", workload: "w1", signal: 9, exec: "yes" })).toEqual({});
    slow.consuming = true;
    slow.grant(got);
    expect((await slow.exit).status).toBe(137);
  });

  test("signals to the first process", async () => {
    expect(await guest.request({ op: "signal", workload: "w1", signal: 1 })).toEqual({});
    await until(main, "got HUP");
  });

  test("pause stops it, resume lets it go on", async () => {
    expect(await guest.request({ op: "pause", workload: "w1" })).toEqual({});
    expect(await guest.request({ op: "pause", workload: "w1" })).toMatchObject({
      error: { code: "conflict" },
    });
    expect((await sh("true")).reply.error).toMatchObject({ code: "conflict" });
    expect(await guest.request({ op: "resume", workload: "w1" })).toEqual({});
    expect((await sh("echo awake")).out).toBe("awake\n");
  });

  test("stats are the workload's", async () => {
    const stats = (await guest.request({ op: "stats", workload: "w1" })) as Record<string, number>;
    expect(stats).toMatchObject({ memoryLimit: 64 << 20, pidsLimit: 50 });
    expect(stats.cpuNs).toBeGreaterThan(1e6);
    expect(stats.memory).toBeGreaterThan(100_000);
    expect(stats.memory).toBeLessThan(64 << 20);
    expect(stats.pids).toBeGreaterThanOrEqual(1);
    expect(stats.netRx).toBeGreaterThan(100);
    expect(stats.blockRead).toBeGreaterThan(0);
  });

  test("the pids limit holds", async () => {
    const result = await sh("for i in $(seq 60); do sleep 1 & done; wait");
    expect(result.err).toContain("can't fork");
    await Bun.sleep(1500);
  });

  test("out of memory: the process dies with 137, the workload lives, the host hears", async () => {
    const result = await sh("exec dd if=/dev/zero of=/dev/null bs=100M count=1");
    expect(result.status).toBe(137);
    expect((await sh("echo alive")).out).toBe("alive\n");
    expect(guest.events).toContainEqual({ event: "oom", workload: "w1" });
  });

  test("files: stat, archive out and in", async () => {
    await sh("mkdir /tmp/never; echo content > /tmp/file; ln -s file /tmp/link; chown joe /tmp/file");
    expect(await guest.request({ op: "stat", workload: "w1", path: "/tmp/link" })).toMatchObject({
      name: "link",
      linkTarget: expect.stringContaining("file"),
    });
    expect(await guest.request({ op: "stat", workload: "w1", path: "/nowhere" })).toMatchObject({
      error: { code: "not_found" },
    });
    const read = await archive(guest, "archive-read", "w1", "/tmp/file");
    expect(read.status).toBe(0);
    const listed = execFileSync("tar", ["-tvf", "-"], {
      input: Buffer.concat(read.stream.stdout),
      encoding: "utf8",
    });
    expect(listed).toContain("1000/0");
    expect(listed).toContain(" file");
    const folder = mkdtempSync("/tmp/guest-tar-");
    writeFileSync(join(folder, "put"), "put in\n");
    const write = await archive(guest, "archive-write", "w1", "/data", tar(folder, "put"));
    expect({ status: write.status, err: write.stream.err }).toEqual({ status: 0, err: "" });
    expect(readFileSync(join(host, "0/put"), "utf8")).toBe("put in\n");
    const refused = await archive(guest, "archive-write", "w1", "/etc/passwd", tar(folder, "put"));
    expect(refused.status).not.toBe(0);
    rmSync(folder, { recursive: true });
  });

  test("nonsense is answered, not obeyed", async () => {
    expect(await guest.request({ op: "fly" })).toMatchObject({ error: { code: "unsupported" } });
    expect(await guest.request({ op: "stats", workload: "other" })).toMatchObject({
      error: { code: "not_found" },
    });
    expect(await guest.configure()).toMatchObject({ error: { code: "conflict" } });
    const again = guest.open({ op: "start", workload: workload("w1", ["true"]) });
    expect(await again.reply).toMatchObject({ error: { code: "conflict" } });
    const twisted = guest.open({ op: "start", workload: workload("../w", ["true"]) });
    expect(await twisted.reply).toMatchObject({ error: { code: "invalid" } });
  });

  test("the end: its status, then power off with all on the disk; a second boot finds it, and serves files unstarted", async () => {
    await sh("echo kept > /root/kept; ln -s /etc/passwd /root/link");
    expect(await guest.request({ op: "signal", workload: "w1", signal: 9 })).toEqual({});
    expect(await main.exit).toMatchObject({ status: 137 });
    const begun = performance.now();
    expect(await guest.request({ op: "poweroff", timeout: 5000 })).toEqual({});
    expect(await guest.ended).toBe(0);
    expect(performance.now() - begun).toBeLessThan(5000);

    await using second = await Guest.boot({ ...files, share: host });
    await second.configure({ shares: true });
    const mounted = await second.request({
      op: "mount-rootfs",
      workload: "w1",
      rootfs: { kind: "disk", image: "image", layer: "layer" },
      mounts: [
        {
          destination: "/data",
          type: "bind",
          source: "/run/gantry/shares/0",
          options: ["rbind", "rprivate"],
        },
      ],
    });
    expect(mounted).toEqual({});
    const read = await archive(second, "archive-read", "w1", "/root/kept");
    expect(Buffer.concat(read.stream.stdout).toString()).toContain("kept\n");
    const folder = mkdtempSync("/tmp/guest-tar-");
    writeFileSync(join(folder, "new"), "new\n");
    expect((await archive(second, "archive-write", "w1", "/root", tar(folder, "new"))).status).toBe(0);
    expect(await second.request({ op: "stat", workload: "w1", path: "/data/put" })).toMatchObject({
      name: "put",
      size: 7,
    });
    rmSync(folder, { recursive: true });
    const started = second.open({
      op: "start",
      workload: workload("w1", ["cat", "/root/kept", "/root/new"], {
        oci: { root: { path: "", readonly: true } },
      }),
    });
    expect(await started.reply).toHaveProperty("pid");
    expect(await started.exit).toEqual({ status: 0, outOfMemory: false });
    expect(started.out).toBe("kept\nnew\n");
    expect(await second.request({ op: "poweroff", timeout: 5000 })).toEqual({});
    expect(await second.ended).toBe(0);
  }, 60000);
});

describe("first processes", () => {
  test("terminal, read-only root, out of memory, failures, several workloads", async () => {
    const files = disks();
    await using guest = await Guest.boot({ image: files.image, layer: files.layer });
    await guest.configure();
    const failing = guest.open({ op: "start", workload: workload("w1", ["no-such-program"]) });
    expect(await failing.reply).toMatchObject({ error: { exitStatus: 127 } });
    const badMount = guest.open({
      op: "start",
      workload: workload("w1", ["true"], {
        oci: { mounts: [{ destination: "/x", type: "nofs", source: "x", options: [] }] },
      }),
    });
    expect(await badMount.reply).toMatchObject({
      error: { message: expect.stringContaining("mount nofs at /x") },
    });

    const terminal = guest.open({
      op: "start",
      workload: workload(
        "w1",
        [
          "sh",
          "-c",
          "tty; ls -l /dev/console; touch /x; read line; echo line=$line; exec dd if=/dev/zero of=/dev/null bs=200M count=1",
        ],
        {
          process: { terminal: true },
          spec: { openStdin: true },
          oci: { root: { path: "", readonly: true } },
        },
      ),
    });
    expect(await terminal.reply).toHaveProperty("pid");
    await terminal.input(Buffer.from("typed\n"));
    expect(await terminal.exit).toEqual({ status: 137, outOfMemory: true });
    expect(terminal.out).toContain("/dev/pts/0");
    expect(terminal.out).toContain("Read-only file system");
    expect(terminal.out).toContain("line=typed");
    expect(terminal.out).toMatch(/crw.*136,\s+0.*\/dev\/console/);

    const again = guest.open({
      op: "start",
      workload: workload("w1", ["sh", "-c", "cat; exit 4"], { spec: { openStdin: true } }),
    });
    await again.reply;
    await again.input(Buffer.from("piped"));
    again.end();
    expect(await again.exit).toEqual({ status: 4, outOfMemory: false });
    expect(again.out).toBe("piped");
    expect(guest.console()).not.toMatch(/BUG|Oops|WARNING/);
    expect(defaultCapabilities.length).toBe(14);
    rmSync(files.folder, { recursive: true, force: true });
  }, 60000);
});
