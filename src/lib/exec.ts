import { spawn } from "node:child_process";
import { GantryError } from "../model/errors.ts";

export interface ExecResult {
  status: number;
  stdout: string;
  stderr: string;
}

export interface ExecOptions {
  /** Written to the child's standard input, which is empty otherwise. */
  input?: string | Uint8Array;
  /** Milliseconds until SIGKILL; 60,000 when absent. */
  timeout?: number;
  /** Exit statuses that are no error; [0] when absent. */
  ok?: readonly number[];
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  signal?: AbortSignal;
}

const outputLimit = 16 << 20;

/**
 * Runs a program with an argument array (never a shell) and collects its output, at most 16 MiB a stream.
 * Throws `unavailable` when the program is missing, `deadline` on a time-out, `canceled` when aborted,
 * `internal` with the end of stderr when the status is not among `ok`.
 */
export async function exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
  const [program, ...rest] = argv;
  if (program === undefined) throw new GantryError("internal", "exec was called without a program");
  const child = spawn(program, rest, {
    stdio: ["pipe", "pipe", "pipe"],
    cwd: options.cwd,
    env: options.env ?? process.env,
  });
  const timeout = options.timeout ?? 60_000;
  let ended: "deadline" | "canceled" | undefined;
  const stop = (why: "deadline" | "canceled") => {
    ended ??= why;
    child.kill("SIGKILL");
  };
  const timer = setTimeout(() => stop("deadline"), timeout);
  const abort = () => stop("canceled");
  options.signal?.addEventListener("abort", abort, { once: true });
  const collect = (stream: NodeJS.ReadableStream): Promise<string> =>
    new Promise((resolve) => {
      const parts: Buffer[] = [];
      let size = 0;
      stream.on("data", (part: Buffer) => {
        size += part.length;
        if (size <= outputLimit) parts.push(part);
      });
      stream.on("close", () => resolve(Buffer.concat(parts).toString("utf8")));
    });
  try {
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    child.stdin.on("error", () => {}); // a child that does not read its input is no error by itself
    child.stdin.end(options.input ?? "");
    const status = await new Promise<number>((resolve, reject) => {
      child.once("error", (error: NodeJS.ErrnoException) =>
        reject(
          error.code === "ENOENT"
            ? new GantryError(
                "unavailable",
                `${program} is not installed or not on the PATH; run ./scripts/setup`,
                { cause: error },
              )
            : error,
        ),
      );
      child.once("close", (code) => resolve(code ?? 128));
    });
    const result = { status, stdout: await stdout, stderr: await stderr };
    if (ended === "deadline")
      throw new GantryError("deadline", `${program} did not finish within ${timeout} ms`);
    if (ended === "canceled") throw new GantryError("canceled", `${program} was canceled`);
    if (!(options.ok ?? [0]).includes(status))
      throw new GantryError(
        "internal",
        `${program} ended with status ${status}: ${result.stderr.trim().split("\n").slice(-3).join(" / ") || "no message"}`,
      );
    return result;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", abort);
  }
}
