import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type OracleScope, type Snapshot, settle, snapshot } from "./oracle.ts";

export interface Result {
  status: number;
  stdout: string;
  stderr: string;
  /** Standard output as bytes. */
  bytes: Buffer;
  /** Milliseconds from spawn to exit. */
  elapsed: number;
}

export interface RunOptions {
  /** Standard input; empty when absent. */
  input?: string | Uint8Array;
  env?: Record<string, string>;
  cwd?: string;
  /** Milliseconds, 60,000 when absent. */
  timeout?: number;
  /** Called with all standard output so far, each time that there is more. */
  onOutput?: (text: string) => void;
}

const builds = resolve(import.meta.dir, "../../build");

/** An engine of its own in a temporary root, driven through the real program as a user would. */
export class TestEngine implements AsyncDisposable {
  readonly base: string;
  readonly root: string;
  readonly run: string;
  readonly program: string;
  readonly tag: string;
  env: Record<string, string>;
  #daemon: ReturnType<typeof spawn> | undefined;

  constructor(options: { failpoints?: boolean } = {}) {
    this.base = realpathSync(mkdtempSync(join(tmpdir(), "gt-")));
    this.root = join(this.base, "root");
    this.run = join(this.base, "run");
    this.program = join(builds, options.failpoints ? "failpoints/gantry" : "gantry");
    this.tag = createHash("sha256").update(this.root).digest("hex").slice(0, 6);
    this.env = { GANTRY_ROOT: this.root, GANTRY_RUN: this.run };
  }

  /** Starts the daemon and waits until it answers. */
  async start(env: Record<string, string> = {}): Promise<void> {
    // A killed engine's socket would make the first command start an engine of its own.
    rmSync(join(this.run, "gantry.sock"), { force: true });
    const log = openSync(this.#log, "a", 0o600);
    const child = spawn(this.program, ["daemon"], {
      env: { ...process.env, ...this.env, ...env },
      stdio: ["ignore", "ignore", process.env.GANTRY_TEST_VERBOSE ? "inherit" : log],
      detached: true,
    });
    closeSync(log);
    this.#daemon = child;
    const until = Date.now() + 20_000;
    while (Date.now() < until) {
      if (existsSync(join(this.run, "gantry.sock")) && (await this.cli("version")).status === 0) return;
      if (child.exitCode !== null) throw new Error(`the daemon ended with ${child.exitCode}`);
      await Bun.sleep(20);
    }
    throw new Error("the daemon did not answer within 20 s");
  }

  get pid(): number {
    return this.#daemon?.pid ?? 0;
  }

  /** Ends the daemon by SIGKILL (a crash) or SIGTERM and waits until it is gone. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#daemon;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((done) => child.once("exit", done));
    child.kill(signal);
    await gone;
  }

  /** Resolves when the daemon has ended by itself. */
  async ended(patience = 30_000): Promise<boolean> {
    const child = this.#daemon;
    if (!child || child.exitCode !== null || child.signalCode !== null) return true;
    return await Promise.race([
      new Promise<boolean>((done) => child.once("exit", () => done(true))),
      Bun.sleep(patience).then(() => false),
    ]);
  }

  /** Runs `gantry ARGS…` to its end. */
  async cli(...args: string[]): Promise<Result> {
    return await this.cliWith({}, ...args);
  }

  async cliWith(options: RunOptions, ...args: string[]): Promise<Result> {
    const began = performance.now();
    const child = this.spawn(args, options);
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout!.on("data", (part: Buffer) => {
      out.push(part);
      options.onOutput?.(Buffer.concat(out).toString());
    });
    child.stderr!.on("data", (part: Buffer) => err.push(part));
    child.stdin!.on("error", () => {});
    child.stdin!.end(options.input ?? "");
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, options.timeout ?? 60_000);
    const status = await new Promise<number>((done) =>
      child.once("close", (code, signal) => done(code ?? (signal ? 1000 : 1001))),
    );
    clearTimeout(timer);
    const bytes = Buffer.concat(out);
    const result = {
      status,
      stdout: bytes.toString(),
      stderr: Buffer.concat(err).toString(),
      bytes,
      elapsed: performance.now() - began,
    };
    if (late)
      throw new Error(
        `gantry ${args.join(" ")} did not end in time; stdout: ${result.stdout.slice(-500)}; stderr: ${result.stderr.slice(-500)}`,
      );
    return result;
  }

  /** Runs and demands success; returns trimmed standard output. */
  async ok(...args: string[]): Promise<string> {
    const result = await this.cli(...args);
    if (result.status !== 0)
      throw new Error(`gantry ${args.join(" ")} ended with ${result.status}: ${result.stderr.trim()}`);
    return result.stdout.trim();
  }

  /** The child itself, for tests of streams. */
  spawn(args: string[], options: RunOptions = {}) {
    return spawn(this.program, args, {
      env: { ...process.env, ...this.env, ...options.env },
      cwd: options.cwd,
      stdio: ["pipe", "pipe", "pipe"],
    });
  }

  get scope(): OracleScope {
    return { root: this.root, run: this.run, tag: this.tag, ...(this.pid ? { daemon: this.pid } : {}) };
  }

  /** What the engine has on the machine now. */
  baseline(): Snapshot {
    return snapshot(this.scope);
  }

  /** What differs from `before` once things have settled. */
  async leaks(before: Snapshot, patience?: number): Promise<string[]> {
    return await settle(before, this.scope, patience);
  }

  get #log(): string {
    return join(this.base, "daemon.log");
  }

  /** What the daemons have logged, in all. */
  log(): string {
    try {
      return readFileSync(this.#log, "utf8");
    } catch {
      return "";
    }
  }

  /** Removes every instance, ends the daemon and takes network and folders away. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!(await this.ended(0))) {
      const ids = (await this.cli("ps", "-aq")).stdout.split("\n").filter(Boolean);
      if (ids.length > 0) await this.cli("rm", "-f", "-v", ...ids);
      await this.end("SIGTERM");
    }
    await this.cli("daemon", "--clean-up");
    rmSync(this.base, { recursive: true, force: true });
  }
}

/** Polls until `probe` is truthy and returns it; throws with `what` after `patience` ms. */
export async function eventually<T>(
  what: string,
  probe: () => T | Promise<T>,
  patience = 10_000,
  step = 50,
): Promise<NonNullable<T>> {
  const until = Date.now() + patience;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > until) throw new Error(`${what} did not happen within ${patience} ms`);
    await Bun.sleep(step);
  }
}
