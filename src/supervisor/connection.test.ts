import { afterAll, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeFrame, encodeJson, FrameType } from "../lib/frame.ts";
import type { GantryError } from "../model/errors.ts";
import { ask, request } from "./connection.ts";
import { isAlive, killProcess, startTimeOf, waitGone } from "./process.ts";
import { createSupervisors } from "./supervisors.ts";
import { PathStat, parseAs } from "./wire.ts";

const base = mkdtempSync(join(tmpdir(), "gantry-connection-"));
afterAll(() => rmSync(base, { recursive: true }));
let count = 0;

/** A peer that answers each connection's first bytes as told; what a supervisor may send is partly a guest's. */
async function peer(answer: (socket: Socket) => void): Promise<{ folder: string; [Symbol.dispose](): void }> {
  const folder = join(base, String(++count));
  mkdirSync(folder);
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => answer(socket));
  });
  await new Promise<void>((resolve) => server.listen(join(folder, "sock"), resolve));
  return { folder, [Symbol.dispose]: () => void server.close() };
}

test("a reply in pieces, and what follows it belongs to the session", async () => {
  const bytes = Buffer.concat([
    encodeJson(FrameType.reply, { pid: 7 }),
    encodeFrame(FrameType.stdout, Buffer.from("hi")),
  ]);
  using there = await peer((socket) => {
    socket.write(bytes.subarray(0, 5));
    setTimeout(() => socket.end(bytes.subarray(5)), 20);
  });
  const { reply, socket } = await request(there.folder, { op: "exec" });
  expect(reply).toEqual({ pid: 7 });
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  expect(Buffer.concat(parts).equals(encodeFrame(FrameType.stdout, Buffer.from("hi")))).toBe(true);
});

test("the error in a reply is thrown with its code and status", async () => {
  const error = { code: "not_found", message: "no such program", exitStatus: 127 };
  using there = await peer((socket) => socket.write(encodeJson(FrameType.reply, { error })));
  await expect(ask(there.folder, { op: "start" })).rejects.toMatchObject(error);
});

test("an error code that is not in the set becomes internal", async () => {
  using there = await peer((socket) =>
    socket.write(encodeJson(FrameType.reply, { error: { code: "__proto__" } })),
  );
  await expect(ask(there.folder, { op: "start" })).rejects.toMatchObject({ code: "internal" });
});

test("a guest's error cannot move a terminal, forge lines, be long or claim success", async () => {
  const message = `\x1b]0;owned\x07first\nsecond\u009b2J${"x".repeat(100_000)}`;
  using there = await peer((socket) =>
    socket.write(encodeJson(FrameType.reply, { error: { code: "invalid", message, exitStatus: 256 } })),
  );
  const error = (await ask(there.folder, { op: "start" }).catch((thrown) => thrown)) as GantryError;
  expect(error.message).toStartWith("]0;owned first second 2Jxxx");
  expect(error.message.length).toBeLessThanOrEqual(4096);
  expect(error.exitStatus).toBeUndefined();
});

test("what is no reply is refused", async () => {
  const wrong = [
    encodeFrame(FrameType.stdout, Buffer.from("x")),
    encodeFrame(FrameType.reply, Buffer.from("{")),
    encodeFrame(FrameType.reply, Buffer.from("7")),
    Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 2, 0, 0, 0]),
    Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0]),
  ];
  for (const bytes of wrong) {
    using there = await peer((socket) => socket.write(bytes));
    await expect(ask(there.folder, { op: "hello" })).rejects.toMatchObject({ code: "corrupt" });
  }
});

test("nobody there, an early end, and silence", async () => {
  await expect(ask(join(base, "nosuch"), { op: "hello" })).rejects.toMatchObject({ code: "unavailable" });
  using ending = await peer((socket) => socket.destroy());
  await expect(ask(ending.folder, { op: "hello" })).rejects.toMatchObject({ code: "unavailable" });
  using silent = await peer(() => {});
  await expect(ask(silent.folder, { op: "hello" }, 50)).rejects.toMatchObject({ code: "deadline" });
  const supervisors = createSupervisors({ paths: { libexec: base } });
  expect(await supervisors.connect(join(base, "nosuch"))).toBeUndefined();
  await expect(supervisors.oneShot(["stat"], undefined)).rejects.toMatchObject({ code: "unavailable" });
});

test("a process is itself by its start time only", async () => {
  const child = spawn("sleep", ["1000"]);
  const pid = child.pid!;
  const startTime = await startTimeOf(pid);
  expect(startTime).toBeGreaterThan(0);
  await killProcess({ pid, startTime: startTime! + 1 }); // another process had this pid
  expect(await isAlive({ pid, startTime: startTime! })).toBe(true);
  expect(await waitGone({ pid, startTime: startTime! }, 30)).toBe(false);
  await killProcess({ pid, startTime: startTime! });
  expect(await isAlive({ pid, startTime: startTime! })).toBe(false);
  expect(await waitGone({ pid, startTime: startTime! }, 0)).toBe(true);
});

test("a guest's claims are bounded", () => {
  const stat = { name: "a", size: 1, mode: 0o100644, mtime: 0, linkTarget: "" };
  expect(parseAs(PathStat, stat, "stat")).toEqual(stat);
  const lies = [
    { name: "x".repeat(5000) },
    { linkTarget: "x".repeat(5000) },
    { size: 1e300 },
    { mode: -1 },
    { mode: 2 ** 40 },
    { mtime: 1e300 },
  ];
  for (const lie of lies) expect(() => parseAs(PathStat, { ...stat, ...lie }, "stat")).toThrow("stat");
});
