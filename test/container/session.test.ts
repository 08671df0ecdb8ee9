import { afterAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { encodeFrame, FrameDecoder, FrameType } from "../../src/lib/frame.ts";
import type { Session } from "../../src/ports/supervisor.ts";
import { type Box, ContainerBench, collect, send } from "./bench.ts";

const bench = new ContainerBench();
afterAll(() => bench[Symbol.asyncDispose]());
const sh = (script: string) => ["sh", "-c", script];
const sleeper = () => bench.up(["sleep", "1000"]);
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test("exec: statuses, streams, user, working folder", async () => {
  const box = await sleeper();
  expect((await box.exec(["true"])).status).toBe(0);
  expect((await box.exec(sh("exit 3"))).status).toBe(3);
  const both = await box.exec(sh("echo out; echo err >&2; kill -9 $$"));
  expect([both.stdout.toString(), both.stderr.toString(), both.status]).toEqual(["out\n", "err\n", 137]);
  const as = await box.exec(sh("id -u; echo $HOME; pwd"), { user: "alice", workdir: "/etc" });
  expect(as.stdout.toString()).toBe("1000\n/home/alice\n/etc\n");
  await expect(box.exec(["nosuch"])).rejects.toMatchObject({ exitStatus: 127 });
  await expect(box.exec(["/etc/plain"])).rejects.toMatchObject({ exitStatus: 126 });
  await expect(box.exec(["true"], { workdir: "/nosuch" })).rejects.toMatchObject({ exitStatus: 126 });
  await expect(box.exec(["true"], { user: "nosuch" })).rejects.toThrow("unable to find user");
  expect((await box.exec(["/bin/garbage"])).status).toBe(126);
  await box.close();
});

test("exec: ten million bytes pass both ways unchanged", async () => {
  const box = await sleeper();
  const data = randomBytes(10_000_000);
  const { stdout, status } = await box.exec(["cat"], {}, data);
  expect(status).toBe(0);
  expect(stdout.equals(data)).toBe(true);
  await box.close();
}, 20_000);

test("exec: a child that keeps the streams open does not hold the exit back", async () => {
  const box = await sleeper();
  const before = Date.now();
  const { stdout, status } = await box.exec(sh("sleep 100 & echo here"));
  expect([stdout.toString(), status]).toEqual(["here\n", 0]);
  expect(Date.now() - before).toBeLessThan(5000);
  await box.close();
});

test("exec: a client that does not read stops only its own process", async () => {
  const box = await sleeper();
  const slow = await box.execSession(sh("yes | head -c 20000000; echo done"));
  slow.pause();
  await later(100);
  expect((await box.exec(["echo", "quick"])).stdout.toString()).toBe("quick\n");
  const { stdout, status } = await collect(slow);
  expect(status).toBe(0);
  expect(stdout.length).toBe(20_000_005);
  await box.close();
}, 20_000);

test("exec: a client that goes away does not end its process", async () => {
  const box = await sleeper();
  const session = await box.execSession(sh("cat; sleep 0.2; echo still > /tmp/mark"), { openStdin: true });
  session.destroy();
  await later(600);
  expect((await box.exec(["cat", "/tmp/mark"])).stdout.toString()).toBe("still\n");
  await box.close();
});

test("exec: right after the main process's flood, and while it goes on", async () => {
  const box = await bench.up(sh("yes"), { limits: { cpus: 0.5 } });
  await later(100);
  expect((await box.exec(["echo", "here"])).stdout.toString()).toBe("here\n");
  await box.supervisor.signal(box.id, 9);
  expect((await box.ended()).exitCode).toBe(137);
  await box.close();
});

test("exec ends with 137 when its container dies", async () => {
  const box = await sleeper();
  const outcome = collect(await box.execSession(["sleep", "1000"]));
  await later(50);
  await box.supervisor.signal(box.id, 9);
  expect((await outcome).status).toBe(137);
  await box.close();
});

test("attach: a client that does not read is cut off, the workload goes on, the log has all", async () => {
  const box = await bench.make({ command: sh("yes 0123456789abcde | head -c 4000000; echo end") });
  await box.open();
  const lagging = await box.attach();
  const reading = collect(await box.attach());
  lagging.pause();
  await box.start();
  const { stdout, status } = await reading;
  expect([stdout.length, status]).toEqual([4_000_004, 0]);
  await box.ended();
  const outcome = await collect(lagging);
  expect(outcome.closed || outcome.status === undefined).toBe(true);
  expect(outcome.stdout.length).toBeLessThan(4_000_000);
  const logged = box.log.map((line) => line.log).join("");
  expect(logged === stdout.toString()).toBe(true); // toBe would print it all
  await box.close();
}, 20_000);

/** Waits until the session has shown a text; returns all it has shown. */
async function until(session: Session, text: string): Promise<string> {
  const decoder = new FrameDecoder();
  let seen = "";
  return await new Promise((resolve, reject) => {
    const take = (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) {
        if (frame.type === FrameType.stdout) seen += frame.payload.toString();
        if (frame.type === FrameType.exit) reject(new Error(`ended after ${JSON.stringify(seen)}`));
      }
      if (!seen.includes(text)) return;
      session.off("data", take);
      session.pause();
      resolve(seen);
    };
    session.on("data", take).resume();
  });
}

const resize = (rows: number, columns: number): Buffer => {
  const size = Buffer.alloc(4);
  size.writeUInt16LE(rows, 0);
  size.writeUInt16LE(columns, 2);
  return encodeFrame(FrameType.resize, size);
};

async function terminalCase(box: Box, session: Session): Promise<void> {
  send(session, "stty size; tty >/dev/null && echo is-a-$((1))-tty\n", false);
  expect(await until(session, "is-a-1-tty\r\n")).toContain("40 100\r\n");
  session.write(resize(33, 77));
  await later(50);
  send(session, "stty size\n", false);
  await until(session, "33 77\r\n");
  send(session, "sleep 1000; echo was-$((1))-$?\n", false);
  await later(200);
  send(session, "\x03", false); // Ctrl-C: the sleep dies, the shell does not
  send(session, "echo alive-$((40+2))\n", false);
  await until(session, "alive-42\r\n");
  const end = collect(session);
  send(session, "exit 7\n", false);
  expect((await end).status).toBe(7);
  expect(box.id).toHaveLength(64);
}

test("a terminal: size before and after the start, Ctrl-C, status", async () => {
  const box = await bench.make({ command: ["sh", "-i"], tty: true, openStdin: true });
  await box.open();
  const session = await box.attach();
  session.write(resize(40, 100));
  await later(20);
  await box.start();
  await terminalCase(box, session);
  await box.close();
});

test("a terminal for exec", async () => {
  const box = await sleeper();
  const session = await box.execSession(["sh", "-i"], { tty: true, openStdin: true });
  session.write(resize(40, 100));
  await later(20);
  await terminalCase(box, session);
  await box.close();
});

test("input that was sent before the start is not lost", async () => {
  const box = await bench.make({ command: ["sh", "-c", "cat; echo over"], openStdin: true });
  await box.open();
  const session = await box.attach();
  send(session, "a".repeat(200_000));
  await later(30);
  const outcome = collect(session);
  await box.start();
  const { stdout, status } = await outcome;
  expect([stdout.length, status]).toEqual([200_005, 0]);
  await box.close();
});

test("detaching leaves the workload its input; with stdinOnce the input ends", async () => {
  const kept = await bench.up(sh("read a; echo got $a"), { openStdin: true });
  (await kept.attach()).destroy();
  await later(50);
  const again = await kept.attach();
  const outcome = collect(again);
  send(again, "hello\n", false);
  expect((await outcome).stdout.toString()).toBe("got hello\n");
  await kept.close();

  const once = await bench.up(sh("cat; echo over"), { openStdin: true, stdinOnce: true });
  (await once.attach()).destroy();
  expect((await once.ended()).exitCode).toBe(0);
  expect(once.log.map((line) => line.log)).toEqual(["over\n"]);
  await once.close();
});
