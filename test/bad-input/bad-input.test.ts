import { afterAll, beforeAll, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestEngine } from "../lib/engine.ts";
import type { Snapshot } from "../lib/oracle.ts";

// Bad input: one line that says what to do, a status that is not zero, nothing left behind.
const engine = new TestEngine();
const folder = mkdtempSync(join(tmpdir(), "gt-bad-"));
let before: Snapshot;
beforeAll(async () => {
  await engine.start();
  await engine.ok("image", "bootstrap", "busybox");
  await engine.ok("run", "--rm", "busybox", "true");
  before = engine.baseline();
}, 60_000);
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

/** One line on standard error that holds `word`, and a failure. */
async function refuses(word: string, ...args: string[]): Promise<void> {
  const result = await engine.cli(...args);
  expect(result.status).not.toBe(0);
  expect(result.stderr.toLowerCase()).toContain(word.toLowerCase());
  expect(result.stderr.trim().split("\n").length).toBeLessThanOrEqual(2);
  expect(await engine.leaks(before)).toEqual([]);
}

test("unknown images and malformed references", async () => {
  await refuses("nothing-like-this", "run", "--rm", "nothing-like-this", "true");
  for (const reference of [
    "UPPER case",
    "a//b",
    "busybox:",
    "busybox@sha256:12",
    ":tag",
    "../etc",
    "a".repeat(300),
  ])
    await refuses("refer", "run", "--rm", reference, "true");
});

test("unknown commands, isolations, instances, volumes", async () => {
  await refuses("frobnicate", "frobnicate");
  await refuses("balloon", "run", "--isolation", "balloon", "busybox");
  for (const verb of [
    "start",
    "stop",
    "kill",
    "restart",
    "rm",
    "inspect",
    "logs",
    "attach",
    "wait",
    "pause",
    "unpause",
    "port",
  ])
    await refuses("no-such-box", verb, "no-such-box");
  await refuses("no-such-box", "exec", "no-such-box", "true");
  await refuses("no-such-vol", "volume", "inspect", "no-such-vol");
  await refuses("no-such-vol", "volume", "rm", "no-such-vol");
});

test("archives: truncated, of no kind, with a wrong digest", async () => {
  const archive = join(folder, "busybox.tar");
  await engine.ok("save", "-o", archive, "busybox");
  const whole = readFileSync(archive);
  const cut = join(folder, "cut.tar");
  for (const part of [0.1, 0.5, 0.9]) {
    writeFileSync(cut, whole);
    truncateSync(cut, Math.floor(whole.length * part));
    await refuses("", "load", "-i", cut);
  }
  const noise = join(folder, "noise");
  writeFileSync(noise, Buffer.alloc(100_000, 7));
  await refuses("", "load", "-i", noise);
  await refuses("no-such-file", "load", "-i", join(folder, "no-such-file"));

  const tree = join(folder, "layout");
  mkdirSync(tree);
  execFileSync("tar", ["-xf", archive, "-C", tree]);
  const index = JSON.parse(readFileSync(join(tree, "index.json"), "utf8")) as {
    manifests: { digest: string }[];
  };
  const manifest = JSON.parse(
    readFileSync(join(tree, "blobs/sha256", index.manifests[0]!.digest.slice(7)), "utf8"),
  );
  const layer = join(tree, "blobs/sha256", manifest.layers[0].digest.slice(7));
  const bytes = readFileSync(layer);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(layer, bytes);
  execFileSync("tar", ["-cf", cut, "-C", tree, "."]);
  await refuses("digest", "load", "-i", cut);
});

test("JSON that is malformed, of wrong types, with unknown or prototype fields", async () => {
  const post = (path: string, body: string) =>
    new Promise<{ status: number; text: string }>((done, fail) => {
      const call = request(
        {
          socketPath: join(engine.run, "gantry.sock"),
          path,
          method: "POST",
          headers: { "content-type": "application/json" },
        },
        (answer) => {
          let text = "";
          answer.on("data", (part) => {
            text += part;
          });
          answer.on("end", () => done({ status: answer.statusCode!, text }));
        },
      );
      call.on("error", fail);
      call.end(body);
    });
  for (const body of [
    "{",
    "[]",
    "null",
    '{"image":5}',
    '{"image":"busybox","surprise":1}',
    '{"__proto__":{"image":"busybox"}}',
    `{"image":"${"x".repeat(2 << 20)}"}`,
  ]) {
    const { status, text } = await post("/v1/instances", body);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
    expect(typeof JSON.parse(text).error.message).toBe("string");
  }
  expect(await engine.leaks(before)).toEqual([]);
});

test("a full disk: a clear error, nothing left, and all works again afterwards", async () => {
  const small = new TestEngine();
  mkdirSync(small.root);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=16m", "small", small.root]);
  try {
    await small.start();
    const failed = await small.cli("image", "bootstrap", "debian");
    expect(failed.status).not.toBe(0);
    expect(failed.stderr.toLowerCase()).toMatch(/space|full/);
    await small.ok("image", "bootstrap", "busybox");
    expect(await small.ok("run", "--rm", "busybox", "echo", "works")).toBe("works");
  } finally {
    await small.end("SIGTERM");
    await small.cli("daemon", "--clean-up");
    execFileSync("umount", ["-l", small.root]);
    await small[Symbol.asyncDispose]();
  }
}, 120_000);

test("a missing tool is named", async () => {
  const bare = new TestEngine();
  const bin = join(folder, "bin");
  mkdirSync(bin);
  for (const tool of ["ip", "nft", "sh", "tar", "true", "rm"])
    execFileSync("ln", ["-s", Bun.which(tool)!, join(bin, tool)]);
  bare.env.PATH = bin;
  await bare.start();
  const failed = await bare.cli("image", "bootstrap", "debian");
  expect(failed.status).not.toBe(0);
  expect(failed.stderr).toMatch(/is not installed/);
  const run = await bare.cli("doctor");
  expect(`${run.stdout}${run.stderr}`).toMatch(/crun|runc/);
  await bare.end("SIGTERM");
  await bare[Symbol.asyncDispose]();
}, 60_000);
