import { once } from "node:events";
import type { Socket } from "node:net";
import { encodeFrame, type Frame, FrameDecoder, FrameType } from "../lib/frame.ts";
import { GantryError } from "../model/errors.ts";

const pieceLimit = 256 << 10;

/** The tar that an `archive-read` session carries; throws when it did not end well. */
export async function* readTar(socket: Socket): AsyncGenerator<Uint8Array> {
  let message = "";
  try {
    for await (const frame of frames(socket)) {
      if (frame.type === FrameType.stdout) yield frame.payload;
      if (frame.type === FrameType.stderr && message.length < 4096) message += frame.payload.toString("utf8");
      if (frame.type === FrameType.exit) {
        if (frame.payload.readInt32LE(0) === 0) return;
        throw failure(message, "reading");
      }
    }
    throw new GantryError("unavailable", "the supervisor ended during an archive");
  } finally {
    socket.destroy();
  }
}

/** Sends a tar into an `archive-write` session; throws when the other side refused it. */
export async function writeTar(socket: Socket, tar: AsyncIterable<Uint8Array>): Promise<void> {
  const end = verdict(socket);
  end.catch(() => {}); // awaited below, after the sending
  let gone = false;
  socket.once("close", () => {
    gone = true;
  });
  try {
    for await (const chunk of tar) {
      for (let at = 0; at < chunk.length && !gone; at += pieceLimit) {
        const piece = chunk.subarray(at, at + pieceLimit);
        if (!socket.write(encodeFrame(FrameType.stdin, piece)))
          await Promise.race([once(socket, "drain"), end.catch(() => {})]);
      }
      if (gone) break;
    }
    if (!gone) socket.write(encodeFrame(FrameType.stdinEnd));
    await end;
  } finally {
    socket.destroy();
  }
}

async function verdict(socket: Socket): Promise<void> {
  for await (const _ of readTar(socket)) {
    // An archive-write gives no output.
  }
}

async function* frames(socket: Socket): AsyncGenerator<Frame> {
  const decoder = new FrameDecoder();
  for await (const chunk of socket) yield* decoder.push(chunk as Buffer);
}

const failure = (message: string, what: string): GantryError =>
  new GantryError("invalid", message.trim() || `${what} the archive failed`);
