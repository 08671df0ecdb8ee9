/** What a hostile workload, or another user of the host, finds when it looks around; against real containers and VMs. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { capabilitiesOf, knownCapabilities } from "../../src/model/capabilities.ts";
import { eventually, TestEngine } from "../lib/engine.ts";

const secret = "hunter2-of-the-daemon";
const engine = new TestEngine();
beforeAll(async () => {
  await engine.start({ SECRET_TOKEN: secret });
  await engine.ok("image", "bootstrap", "busybox");
}, 60_000);
afterAll(() => engine[Symbol.asyncDispose](), 60_000);

const descriptors = (pid: number): string[] =>
  readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [`${fd} ${readlinkSync(`/proc/${pid}/fd/${fd}`)}`];
    } catch {
      return []; // closed in between
    }
  });
const status = (pid: number, key: string): string =>
  new RegExp(`^${key}:[ \\t]*(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
const inspect = async (name: string) => JSON.parse(await engine.ok("inspect", name))[0];

/** As nobody, without any group: its status and what it said. */
function nobody(...argv: string[]) {
  const done = spawnSync("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", ...argv]);
  return { status: done.status, text: `${done.stdout}${done.stderr}` };
}

describe("container", () => {
  let pid: number;
  let id: string;
  beforeAll(async () => {
    await engine.ok("run", "-d", "--name", "c", "-v", "vol:/vol", "busybox", "sleep", "1000");
    const { Id, State } = await inspect("c");
    [id, pid] = [Id, State.Pid];
  });

  test("another user reaches no layer, volume, log or socket, though it knows the path", async () => {
    await engine.ok("exec", "c", "sh", "-c", "cp /bin/busybox /su && chmod 4755 /su && cp /su /vol/su");
    // The id is no secret: everybody reads it here.
    expect(nobody("cat", `/proc/${pid}/cgroup`).text).toContain(id);
    const instance = join(engine.root, "instances", id);
    for (const path of [
      join(instance, "upper", "su"),
      join(instance, "log.json"),
      join(engine.root, "layers"),
      join(engine.root, "state.db"),
      join(engine.root, "volumes"),
      join(engine.run, "sandboxes", id, "sock"),
    ]) {
      expect(existsSync(path)).toBe(true);
      expect(nobody("stat", path).text).toContain("Permission denied");
    }
    expect(nobody(join(instance, "upper", "su"), "id").text).not.toContain("uid=0");
    const socket = join(engine.run, "gantry.sock");
    expect(nobody("test", "-w", socket).status).toBe(1);
  });

  test("its processes have their three streams and nothing else of the host", async () => {
    await engine.ok("exec", "-d", "c", "sleep", "998");
    const exec = await eventually("the exec", () =>
      readdirSync("/proc").find((entry) => {
        if (!/^\d+$/.test(entry)) return false;
        try {
          return (
            readFileSync(`/proc/${entry}/cmdline`, "utf8") === "sleep\x00998\x00" &&
            readFileSync(`/proc/${entry}/cgroup`, "utf8").includes(id)
          );
        } catch {
          return false;
        }
      }),
    );
    for (const process of [pid, Number(exec)]) {
      const open = descriptors(process);
      expect(open.map((line) => line.split(" ")[0]).sort()).toEqual(["0", "1", "2"]);
      for (const line of open) expect(line).toMatch(/^\d (\/dev\/null|pipe:\[\d+\])$/);
      expect(readFileSync(`/proc/${process}/environ`, "utf8")).not.toContain(secret);
    }
    expect(readFileSync(`/proc/${(await inspect("c")).SupervisorPid}/environ`, "utf8")).not.toContain(secret);
  });

  test("a working folder by way of a descriptor leads nowhere", async () => {
    for (let fd = 3; fd < 12; fd++) {
      const folder = `/proc/self/fd/${fd}`;
      for (const command of [
        ["run", "--rm", "-w", folder, "busybox"],
        ["exec", "-w", folder, "c"],
      ]) {
        const { status, stdout } = await engine.cli(...command, "ls", "../../../../../..");
        expect([fd, status, stdout]).toEqual([fd, 126, ""]);
      }
    }
  });

  test("--cap-add: ALL is all that the host has to give, for exec too; what it lacks is refused by name", async () => {
    const mask = status(process.pid, "CapBnd");
    await engine.ok("run", "-d", "--name", "all", "--cap-add", "ALL", "busybox", "sleep", "1000");
    for (const process of ["1", "self"])
      expect(await engine.ok("exec", "all", "grep", "CapEff", `/proc/${process}/status`)).toContain(mask);
    const available = new Set(capabilitiesOf(mask));
    for (const name of knownCapabilities.filter((one) => !available.has(one))) {
      const refused = await engine.cli("create", "--cap-add", name.toLowerCase(), "busybox");
      expect([refused.status, refused.stderr]).toEqual([
        125,
        expect.stringContaining(`--cap-add ${name.slice(4)}`),
      ]);
    }
  });

  test("names, commands, labels and errors cannot move a terminal", async () => {
    const evil = "\x1b]0;owned\x07\u009b2J\x7f\r";
    await engine.ok(
      "run",
      "-d",
      "--name",
      "evil",
      "-l",
      `a=${evil}\nforged`,
      "busybox",
      "sleep",
      "1000",
      evil,
    );
    const shown = [
      await engine.cli("ps", "-a", "--no-trunc"),
      await engine.cli("ps", "-a", "--format", "table {{.Labels}}\t{{.Names}}"),
      await engine.cli("inspect", "evil"),
      await engine.cli("run", "--rm", "busybox", `/no${evil}such`),
      await engine.cli("inspect", `no${evil}such`),
      await engine.cli("cp", `evil:/no${evil}such`, "/tmp"),
    ];
    const moving = (character: string) => /[\p{Cc}]/u.test(character) && !"\t\n".includes(character);
    for (const { stdout, stderr } of shown) expect([...(stdout + stderr)].filter(moving)).toEqual([]);
    expect(
      shown[1]!.stdout
        .trim()
        .split("\n")
        .filter((line) => line.startsWith("forged")),
    ).toEqual([]);
    expect(JSON.parse(shown[2]!.stdout)[0].Config.Labels.a).toBe(`${evil}\nforged`);
    // For a program that reads it, a template's output is exact.
    expect((await engine.cli("inspect", "-f", "{{.Config.Labels.a}}", "evil")).stdout).toContain(evil);
  });
});

test("a shared folder's link does not lead the next start out of it, behind either wall", async () => {
  const shared = mkdtempSync(join(tmpdir(), "gt-shared-"));
  try {
    for (const wall of ["container", "vm"]) {
      mkdirSync(join(shared, wall));
      const binds = ["-v", `${shared}:/a`, "-v", `${shared}/${wall}:/b`];
      await engine.ok(
        "run",
        "-d",
        "--isolation",
        wall,
        "--name",
        `link-${wall}`,
        ...binds,
        "busybox",
        "sleep",
        "1000",
      );
      await engine.ok("exec", `link-${wall}`, "sh", "-c", `mv /a/${wall} /a/old-${wall}; ln -s / /a/${wall}`);
      await engine.ok("stop", "-t", "0", `link-${wall}`);
      const refused = [
        await engine.cli("start", `link-${wall}`),
        await engine.cli(
          "run",
          "--rm",
          "--isolation",
          wall,
          "-v",
          `${shared}/${wall}/etc:/b:ro`,
          "busybox",
          "true",
        ),
      ];
      for (const { status, stderr } of refused)
        expect([status > 0, stderr]).toEqual([
          true,
          expect.stringContaining(`leads by a link from ${shared}`),
        ]);
    }
  } finally {
    rmSync(shared, { recursive: true });
  }
}, 120_000);

describe("vm", () => {
  test("QEMU has its own uid, no rights, sees no process and only what it was given; it dies with its supervisor", async () => {
    await engine.ok(
      "run",
      "-d",
      "--vm",
      "--name",
      "v",
      "-v",
      "vol:/vol",
      "-e",
      `PASSWORD=${secret}`,
      "busybox",
      "sleep",
      "1000",
    );
    const { SupervisorPid: supervisorPid, Id: id } = await inspect("v");
    const children = childrenOf(supervisorPid);
    const named = (name: string) =>
      children.find((child) => status(child, "Name").startsWith(name)) as number;
    const qemu = named("qemu-system");
    expect(Number(status(qemu, "Uid").split("\t")[1])).toBeGreaterThan(65535);
    for (const set of ["CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"])
      expect(status(qemu, set)).toBe("0000000000000000");
    expect([status(qemu, "NoNewPrivs"), status(qemu, "Seccomp"), status(qemu, "Groups").trim()]).toEqual([
      "1",
      "2",
      "",
    ]);
    expect(status(qemu, "NSpid").split("\t")[1]).toBe("1");
    const own = [/\/disks\/[0-9a-f]{64}\.erofs$/, new RegExp(`/instances/${id}/layer\\.raw$`)];
    for (const line of descriptors(qemu)) {
      const target = line.slice(line.indexOf(" ") + 1);
      const known = /^(socket|pipe|anon_inode):|^\/dev\/(null|net\/tun|kvm)$|^\/memfd:/.test(target);
      expect([target, known || own.some((one) => one.test(target))]).toEqual([target, true]);
    }
    const mounts = readFileSync(`/proc/${qemu}/mountinfo`, "utf8")
      .trim()
      .split("\n")
      .map((line) => line.split(" "));
    for (const [, , , , at, options] of mounts) {
      expect(at).toMatch(
        /^\/$|^\/(usr|lib\w*|bin|sbin|guest\/(kernel|initrd)|etc\/(ld\.so\.cache|alternatives)|dev\/(null|urandom|kvm))(\/|$)/,
      );
      expect(options?.split(",")).toContain("ro");
      expect(options?.split(",")).toContain("nosuid");
    }
    const virtiofsd = named("virtiofsd");
    for (const line of readFileSync(`/proc/${virtiofsd}/mountinfo`, "utf8").trim().split("\n"))
      expect(line.split(" ")[4]).toMatch(/^\/(0)?$/);
    for (const process of [...children, supervisorPid]) {
      expect(readFileSync(`/proc/${process}/cmdline`, "utf8")).not.toContain(secret);
      expect(readFileSync(`/proc/${process}/environ`, "utf8")).not.toContain(secret);
    }
    expect(await engine.ok("exec", "v", "sh", "-c", "ls /proc/1/fd")).toBe("0\n1\n2");
    process.kill(supervisorPid, "SIGKILL");
    await eventually("the death of QEMU and virtiofsd", () =>
      children.every((child) => !existsSync(`/proc/${child}`) || status(child, "State").startsWith("Z")),
    );
  }, 60_000);
});
