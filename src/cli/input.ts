import { read } from "node:fs";

const pieceSize = 64 << 10;
/** Milliseconds between looks at an input that somebody set to non-blocking. */
const idleTime = 10;

function readOnce(buffer: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    read(0, buffer, 0, buffer.length, null, (error, size) => {
      if (!error) return resolve(size);
      // A terminal that is gone, or that is not ours any more, has no more input.
      if (error.code === "EOF" || error.code === "EIO") return resolve(0);
      reject(error);
    });
  });
}

/**
 * Our standard input, read only when the taker is ready for more: file, pipe, socket or terminal alike.
 * (The runtime's own stream loses its place when it is paused and resumed on a pipe.)
 */
export async function* standardInput(): AsyncGenerator<Buffer> {
  for (;;) {
    const buffer = Buffer.allocUnsafe(pieceSize);
    let size: number;
    try {
      size = await readOnce(buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      await new Promise((resolve) => setTimeout(resolve, idleTime));
      continue;
    }
    if (size === 0) return;
    yield buffer.subarray(0, size);
  }
}
