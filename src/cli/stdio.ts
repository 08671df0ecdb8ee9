import { writeSync } from "node:fs";
import type { OutputSink } from "../client/session.ts";

const brokenPipe = 141;

/** Ends quietly, as a program killed by SIGPIPE, when nobody reads the output any more. */
function quietOnBrokenPipe(stream: NodeJS.WriteStream): void {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(brokenPipe);
    try {
      writeSync(2, `gantry: cannot write the output: ${error.message}\n`);
    } catch {} // nothing left to say it with
    process.exit(1);
  });
}

let watched = false;
function streams(): { stdout: NodeJS.WriteStream; stderr: NodeJS.WriteStream } {
  if (!watched) {
    watched = true;
    quietOnBrokenPipe(process.stdout);
    quietOnBrokenPipe(process.stderr);
  }
  return process;
}

/** Writes to standard output; resolves when more may be written. */
export function print(data: string | Uint8Array): Promise<void> {
  const { stdout } = streams();
  if (stdout.write(data)) return Promise.resolve();
  return new Promise((resolve) => stdout.once("drain", () => resolve()));
}

/** Writes to standard error. */
export const complain = (text: string): void => {
  streams().stderr.write(text);
};

/** Resolves when everything written has left this process. */
export async function flush(): Promise<void> {
  if (!watched) return;
  for (const stream of [process.stdout, process.stderr])
    await new Promise<void>((resolve) => {
      stream.write("", () => resolve());
    });
}

/** A session's output onto our own, byte for byte. */
export const stdioSink: OutputSink = {
  write: (data, stream) => streams()[stream].write(data),
  async ready() {
    for (const stream of [process.stdout, process.stderr])
      if (stream.writableNeedDrain)
        await new Promise<void>((resolve) => stream.once("drain", () => resolve()));
  },
};
