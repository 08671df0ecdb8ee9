import { spawnSync } from "node:child_process";
import { GantryError } from "../model/errors.ts";
import { UsageError } from "./command.ts";

/** Docker's own words: scripts look for them. */
export const notATerminal = "the input device is not a TTY";

/** Throws unless our standard input can be the instance's terminal. */
export function requireTerminal(): void {
  if (!process.stdin.isTTY) throw new UsageError(`${notATerminal}: leave out -t, or run it in a terminal`);
}

/** Our terminal's size, when we have one. */
export function terminalSize(): { rows: number; columns: number } | undefined {
  const stream = process.stdout.isTTY ? process.stdout : process.stderr.isTTY ? process.stderr : undefined;
  return stream && stream.rows > 0 && stream.columns > 0
    ? { rows: stream.rows, columns: stream.columns }
    : undefined;
}

/** Runs stty on our terminal; its output, or undefined when it failed. */
function stty(...args: string[]): string | undefined {
  const { status, stdout } = spawnSync("stty", args, {
    stdio: ["inherit", "pipe", "ignore"],
    encoding: "utf8",
  });
  return status === 0 ? stdout.trim() : undefined;
}

/**
 * Puts the terminal into raw mode until disposed of, on every way out of this process.
 * (The runtime's own raw mode goes on to translate the output, which is the inner terminal's work.)
 */
export function rawMode(): Disposable {
  if (!process.stdin.isTTY) return { [Symbol.dispose]() {} };
  const before = stty("-g");
  if (before === undefined || stty("raw", "-echo") === undefined)
    throw new GantryError("unavailable", "the terminal cannot be put into raw mode: is stty installed?");
  const restore = () => {
    stty(before);
  };
  process.once("exit", restore);
  return {
    [Symbol.dispose]() {
      process.removeListener("exit", restore);
      restore();
    },
  };
}

/** Calls `resized` at once and whenever our window changes. */
export function followSize(resized: (rows: number, columns: number) => void): Disposable {
  const tell = () => {
    const size = terminalSize();
    if (size) resized(size.rows, size.columns);
  };
  tell();
  process.on("SIGWINCH", tell);
  return {
    [Symbol.dispose]() {
      process.removeListener("SIGWINCH", tell);
    },
  };
}
