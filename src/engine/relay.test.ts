import { expect, test } from "bun:test";
import { Duplex } from "node:stream";
import { encodeFrame, FrameType } from "../lib/frame.ts";
import { ExitScanner, RelaySession } from "./relay.ts";

/** A far end whose two sides the test holds. */
class Far extends Duplex {
  written: Buffer[] = [];
  ended = false;
  waiting: (() => void) | undefined;
  slow = false;
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.written.push(chunk);
    if (this.slow) this.waiting = done;
    else done();
  }
  override _final(done: () => void): void {
    this.ended = true;
    done();
  }
}

const exitFrame = (code: number, flags = 0): Buffer => {
  const payload = Buffer.alloc(8);
  payload.writeInt32LE(code, 0);
  payload.writeUInt32LE(flags, 4);
  return encodeFrame(FrameType.exit, payload);
};
const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

test("what is written before there is a far end arrives there", async () => {
  const relay = new RelaySession();
  relay.write("held ");
  relay.write("back");
  const far = new Far();
  far.pause();
  const got: Buffer[] = [];
  relay.on("data", (chunk) => got.push(chunk));
  await turn();
  relay.connect(far);
  far.push("answer");
  await turn();
  expect(Buffer.concat(far.written).toString()).toBe("held back");
  expect(Buffer.concat(got).toString()).toBe("answer");
});

test("bytes come through whole and the exit frame is seen, however it is cut", async () => {
  const stream = Buffer.concat([
    encodeFrame(FrameType.stdout, Buffer.from("hello")),
    encodeFrame(FrameType.stderr, Buffer.alloc(0)),
    exitFrame(42, 1),
  ]);
  for (const size of [1, 3, 7, 12, 13, stream.length]) {
    const seen: [number, boolean][] = [];
    const far = new Far();
    const relay = new RelaySession({ onExit: (code, oom) => seen.push([code, oom]) });
    relay.connect(far);
    const got: Buffer[] = [];
    relay.on("data", (chunk) => got.push(chunk));
    for (let at = 0; at < stream.length; at += size) far.push(stream.subarray(at, at + size));
    far.push(null);
    await turn();
    expect(Buffer.concat(got).equals(stream)).toBe(true);
    expect(seen).toEqual([[42, true]]);
  }
});

test("a far end that does not read holds the client back", async () => {
  const far = new Far({ writableHighWaterMark: 10 });
  far.slow = true;
  const relay = new RelaySession();
  relay.connect(far);
  let accepted = 0;
  const push = () => relay.write(Buffer.alloc(1000), () => accepted++);
  for (let n = 0; n < 50; n++) push();
  await turn();
  expect(accepted).toBeLessThan(3);
});

test("a far end that is lost between frames is told as an exit, once; amid one it is an end only", async () => {
  const hello = encodeFrame(FrameType.stdout, Buffer.from("hello"));
  for (const [sent, expected] of [
    [hello, Buffer.concat([hello, exitFrame(137)])],
    [Buffer.concat([hello, exitFrame(3)]), Buffer.concat([hello, exitFrame(3)])],
    [hello.subarray(0, 14), hello.subarray(0, 14)],
    [hello.subarray(0, 6), hello.subarray(0, 6)],
  ] as const)
    for (const loss of ["end", "destroy"] as const) {
      const far = new Far();
      const relay = new RelaySession({ drain: true, lostExit: 137 });
      const got: Buffer[] = [];
      const reading = (async () => {
        for await (const chunk of relay) got.push(chunk as Buffer);
      })();
      relay.connect(far);
      far.push(sent);
      await turn();
      if (loss === "end") far.push(null);
      else far.destroy();
      await reading;
      expect(Buffer.concat(got).equals(expected)).toBe(true);
    }
});

test("a client that goes away: attach lets go, exec is drained to its exit", async () => {
  const attached = new Far();
  const relay = new RelaySession();
  relay.connect(attached);
  relay.destroy();
  await turn();
  expect(attached.destroyed).toBe(true);

  const exec = new Far();
  let code: number | undefined;
  const draining = new RelaySession({
    drain: true,
    onExit: (exit) => {
      code = exit;
    },
  });
  draining.connect(exec);
  draining.destroy();
  await turn();
  expect(exec.destroyed).toBe(false);
  expect(exec.written.at(-1)?.readUInt32LE(8)).toBe(FrameType.stdinEnd);
  exec.push(encodeFrame(FrameType.stdout, Buffer.alloc(100_000)));
  exec.push(exitFrame(7));
  await turn();
  expect(code).toBe(7);
});

test("a held session that is given up says so", async () => {
  let closed = false;
  const relay = new RelaySession({
    onClose: () => {
      closed = true;
    },
  });
  relay.write("never");
  relay.destroy();
  await turn();
  expect(closed).toBe(true);
});

test("payloads that look like exit frames are not taken for them", () => {
  const seen: number[] = [];
  const scanner = new ExitScanner((code) => seen.push(code));
  scanner.push(encodeFrame(FrameType.stdout, exitFrame(1)));
  expect(seen).toEqual([]);
  scanner.push(exitFrame(2));
  expect(seen).toEqual([2]);
});

test("a held session that is abandoned ends without an error", async () => {
  const relay = new RelaySession();
  relay.write("never");
  const got: Buffer[] = [];
  const reading = (async () => {
    for await (const chunk of relay) got.push(chunk as Buffer);
  })();
  await turn();
  relay.abandon();
  relay.end("more");
  await reading;
  expect(got).toEqual([]);
});
