import { expect } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { eventually } from "../lib/engine.ts";
import { Terminal } from "../lib/terminal.ts";
import { type Case, image } from "./case.ts";

export const streams: Case[] = [
  {
    name: "-i: stdin until its end; without -i it is empty",
    async run({ gWith, flags, run }) {
      expect(await gWith({ input: "one\ntwo\n" }, "run", "-i", "--rm", ...flags, image, "cat")).toMatchObject(
        { status: 0, stdout: "one\ntwo\n" },
      );
      expect((await run(image, "cat")).stdout).toBe("");
    },
  },
  {
    name: "half-closed stdin: what comes after it still arrives",
    async run({ gWith, flags, up }) {
      const script = "cat > /tmp/in; sleep 0.3; wc -c < /tmp/in; echo later";
      expect(
        (await gWith({ input: "12345" }, "run", "-i", "--rm", ...flags, image, "sh", "-c", script)).stdout,
      ).toBe("5\nlater\n");
      const id = await up(image, "sleep", "300");
      expect((await gWith({ input: "12345" }, "exec", "-i", id, "sh", "-c", script)).stdout).toBe(
        "5\nlater\n",
      );
    },
  },
  {
    name: "streams are binary-clean both ways",
    async run({ gWith, flags, up }) {
      const data = randomBytes(3 << 20);
      const digest = createHash("sha256").update(data).digest("hex");
      const echoed = await gWith({ input: data }, "run", "-i", "--rm", ...flags, image, "cat");
      expect(createHash("sha256").update(echoed.bytes).digest("hex")).toBe(digest);
      const id = await up(image, "sleep", "300");
      const execed = await gWith({ input: data }, "exec", "-i", id, "cat");
      expect(createHash("sha256").update(execed.bytes).digest("hex")).toBe(digest);
      expect((await gWith({ input: data }, "exec", "-i", id, "sha256sum")).stdout).toStartWith(digest);
    },
  },
  {
    name: "exec: status, streams, environment, user and folder; never outside the instance",
    async run({ g, up, ok, wall }) {
      const id = await up("-e", "FROM=run", image, "sleep", "300");
      expect(await g("exec", id, "sh", "-c", "echo o; echo e >&2; exit 6")).toMatchObject({
        status: 6,
        stdout: "o\n",
        stderr: "e\n",
      });
      expect((await g("exec", id, "no-such-command")).status).toBe(127);
      expect((await g("exec", id, "/etc/passwd")).status).toBe(126);
      expect(
        await ok(
          "exec",
          "-e",
          "MORE=exec",
          "-w",
          "/tmp",
          "-u",
          "1000:1001",
          id,
          "sh",
          "-c",
          "echo $FROM $MORE $(pwd) $(id -u) $(id -g)",
        ),
      ).toBe("run exec /tmp 1000 1001");
      const kernel = await ok("exec", id, "uname", "-r");
      const host = Bun.spawnSync(["uname", "-r"]).stdout.toString().trim();
      if (wall === "vm") expect(kernel).not.toBe(host);
      else expect(kernel).toBe(host);
    },
  },
  {
    name: "exec -d goes on by itself",
    async run({ ok, up }) {
      const id = await up(image, "sleep", "300");
      await ok("exec", "-d", id, "sh", "-c", "sleep 0.3; echo done > /detached");
      await eventually(
        "the detached exec",
        async () => (await ok("exec", id, "sh", "-c", "cat /detached 2>/dev/null || true")) === "done",
      );
    },
  },
  {
    name: "exec on one that does not run is refused",
    async run({ g, ok, flags }) {
      const id = await ok("create", ...flags, image, "true");
      const refused = await g("exec", id, "true");
      expect(refused.status).toBe(1);
      expect(refused.stderr).toContain("not running");
    },
  },
  {
    name: "-t: a terminal of the right size that follows resizes; Ctrl-C reaches the command",
    async run({ engine, flags }) {
      using terminal = new Terminal(
        [engine.program, "run", "-it", "--rm", ...flags, image, "sh"],
        engine.env,
        { cols: 91, rows: 33 },
      );
      await terminal.expect(/[#$] /);
      terminal.type("stty size; tty\r");
      await terminal.expect(/33 91/);
      await terminal.expect(/\/dev\/(pts\/\d+|console)/);
      terminal.resize(120, 50);
      await Bun.sleep(300);
      terminal.type("stty size\r");
      await terminal.expect(/50 120/);
      terminal.type("sleep 100\r");
      await Bun.sleep(500);
      terminal.type("\x03");
      await Bun.sleep(200);
      terminal.type("echo still-$((40+2))\r");
      await terminal.expect(/still-42/);
      terminal.type("exit 9\r");
      expect(await terminal.exited()).toBe(9);
    },
  },
  {
    name: "exec -it",
    async run({ engine, up }) {
      const id = await up(image, "sleep", "300");
      using terminal = new Terminal([engine.program, "exec", "-it", id, "sh"], engine.env, {
        cols: 77,
        rows: 22,
      });
      await terminal.expect(/[#$] /);
      terminal.type("stty size\r");
      await terminal.expect(/22 77/);
      terminal.type("exit 4\r");
      expect(await terminal.exited()).toBe(4);
    },
  },
  {
    name: "detach keys leave it running; attach comes back",
    async run({ engine, flags, ok }) {
      const name = `detach${process.pid}${flags.at(-1)}`;
      using first = new Terminal(
        [engine.program, "run", "-it", "--name", name, ...flags, image, "sh"],
        engine.env,
      );
      await first.expect(/[#$] /);
      first.type("VALUE=kept\r");
      await Bun.sleep(300);
      first.type("\x10\x11");
      await first.exited();
      expect(JSON.parse(await ok("inspect", name))[0].State.Status).toBe("running");
      using second = new Terminal([engine.program, "attach", name], engine.env);
      await Bun.sleep(500);
      second.type("echo is-$VALUE\r");
      await second.expect(/is-kept/);
      second.type("exit 3\r");
      expect(await second.exited()).toBe(3);
    },
  },
  {
    name: "signals are passed on without a terminal",
    async run({ engine, flags }) {
      const child = engine.spawn([
        "run",
        "--rm",
        ...flags,
        image,
        "sh",
        "-c",
        "trap 'echo caught; exit 8' TERM; echo ready; while :; do sleep 0.05; done",
      ]);
      let text = "";
      child.stdout!.on("data", (part: Buffer) => {
        text += part;
      });
      const ended = new Promise<number | null>((done) => child.once("close", done));
      await eventually("readiness", () => text.includes("ready"), 30_000);
      child.kill("SIGTERM");
      expect(await ended).toBe(8);
      expect(text).toContain("caught");
    },
  },
  {
    name: "attach: output from now on, and the exit status",
    async run({ engine, up }) {
      const id = await up(image, "sh", "-c", "sleep 2; echo now; exit 6");
      const child = engine.spawn(["attach", id]);
      let text = "";
      child.stdout!.on("data", (part: Buffer) => {
        text += part;
      });
      expect(await new Promise<number | null>((done) => child.once("close", done))).toBe(6);
      expect(text).toBe("now\n");
    },
  },
  {
    name: "logs: both streams, --tail, --since, -t, -f until the end",
    async run({ g, ok, up, engine }) {
      const id = await up(
        image,
        "sh",
        "-c",
        "for i in 1 2 3 4 5; do echo line $i; done; echo bad >&2; sleep 2; echo last",
      );
      await eventually("five lines", async () => (await ok("logs", id)).includes("line 5"));
      const both = await g("logs", id);
      expect(both.stdout).toBe("line 1\nline 2\nline 3\nline 4\nline 5\n");
      expect(both.stderr).toBe("bad\n");
      const middle = new Date().toISOString();
      const follow = engine.spawn(["logs", "-f", "--tail", "1", id]);
      let text = "";
      follow.stdout!.on("data", (part: Buffer) => {
        text += part;
      });
      expect(await new Promise<number | null>((done) => follow.once("close", done))).toBe(0);
      expect(text.endsWith("last\n")).toBe(true);
      expect((await g("logs", "--tail", "2", id)).stdout).toBe("last\n");
      expect((await g("logs", "--since", middle, id)).stdout).toBe("last\n");
      expect((await ok("logs", "-t", "--tail", "1", id)).split("\n").at(-1)).toMatch(
        /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z last$/,
      );
    },
  },
  {
    name: "logs are binary-clean and a client that does not read stops nothing",
    async run({ engine, up, gWith, ok }) {
      const id = await up(
        image,
        "sh",
        "-c",
        "printf '\\377\\000\\n'; sleep 1; yes $(printf %04000d 0) | head -c 6000000; echo; echo finished; sleep 300",
      );
      const stuck = engine.spawn(["attach", id]);
      stuck.stdout!.pause();
      await eventually(
        "the flood's end",
        async () => (await ok("logs", "--tail", "1", id)) === "finished",
        40_000,
        300,
      );
      stuck.kill("SIGKILL");
      const first = await gWith({}, "logs", id);
      expect([...first.bytes.subarray(0, 3)]).toEqual([255, 0, 10]);
    },
  },
];
