import { write } from "node:fs";
import type { OutputSink } from "../client/session.ts";
import { plain } from "./plain.ts";

const brokenPipe = 141;
/** Bytes that may wait before the writer is asked to wait too. */
const queueLimit = 256 << 10;
/** Milliseconds between tries on an output that somebody set to non-blocking. */
const idleTime = 5;

/**
 * One of our outputs: written in order, whole, and known to be written.
 * (The runtime's own streams may lose the end of a slow pipe when the process exits.)
 */
class Output {
  readonly #fd: number;
  #queue: Uint8Array[] = [];
  #size = 0;
  #busy = false;
  #waiters: { limit: number; resolve: () => void }[] = [];

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Queues bytes; false when the writer should wait for `below`. */
  write(data: Uint8Array): boolean {
    if (data.length > 0) {
      this.#queue.push(data);
      this.#size += data.length;
      this.#next();
    }
    return this.#size < queueLimit;
  }

  /** Resolves when no more than `limit` bytes wait. */
  below(limit: number): Promise<void> {
    if (this.#size <= limit) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ limit, resolve }));
  }

  #next(): void {
    const piece = this.#queue[0];
    if (this.#busy || !piece) return;
    this.#busy = true;
    write(this.#fd, piece, 0, piece.length, null, (error, written) => {
      this.#busy = false;
      if (error) return this.#failed(error);
      this.#size -= written;
      if (written === piece.length) this.#queue.shift();
      else this.#queue[0] = piece.subarray(written);
      this.#waiters = this.#waiters.filter(({ limit, resolve }) => {
        if (this.#size > limit) return true;
        resolve();
        return false;
      });
      this.#next();
    });
  }

  #failed(error: NodeJS.ErrnoException): void {
    if (error.code === "EAGAIN") {
      setTimeout(() => this.#next(), idleTime);
      return;
    }
    // Nobody reads any more: end quietly, as a program that SIGPIPE killed.
    if (error.code === "EPIPE" || this.#fd !== 1) process.exit(brokenPipe);
    process.exitCode = 1;
    complain(`gantry: cannot write the output: ${error.message}\n`);
    void outputs.stderr.below(0).then(() => process.exit(1));
  }
}

const outputs = { stdout: new Output(1), stderr: new Output(2) };

/** Text is for people, so it is made harmless to their terminal; bytes go out as they are. */
const bytes = (data: string | Uint8Array): Uint8Array =>
  typeof data === "string" ? Buffer.from(plain(data)) : data;

/** Writes to standard output; resolves when more may be written. */
export function print(data: string | Uint8Array): Promise<void> {
  return outputs.stdout.write(bytes(data)) ? Promise.resolve() : outputs.stdout.below(queueLimit / 2);
}

/** Writes what a template made: exact for a program that reads it, harmless on a terminal. */
export const printExact = (text: string): Promise<void> =>
  print(process.stdout.isTTY ? text : Buffer.from(text));

/** Writes to standard error. */
export function complain(text: string | Uint8Array): void {
  outputs.stderr.write(bytes(text));
}

/** Resolves when everything written has left this process. */
export async function flush(): Promise<void> {
  await Promise.all([outputs.stdout.below(0), outputs.stderr.below(0)]);
}

/** A session's output onto our own, byte for byte. */
export const stdioSink: OutputSink = {
  write: (data, stream) => outputs[stream].write(data),
  async ready() {
    await Promise.all([outputs.stdout.below(queueLimit / 2), outputs.stderr.below(queueLimit / 2)]);
  },
};
