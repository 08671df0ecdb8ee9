import { constants, type Stats } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import type { LogLine } from "../ports/engine.ts";

const chunkSize = 64 << 10;
/** The supervisor cuts text at 16 KiB; nothing that it writes comes near this. */
const longestLine = 1 << 20;

/** Rotated files, oldest first, and the current one last; those that exist now. */
async function existing(path: string): Promise<string[]> {
  const found: string[] = [];
  for (let n = 1; await exists(`${path}.${n}`); n++) found.unshift(`${path}.${n}`);
  if (await exists(path)) found.push(path);
  return found;
}

const facts = async (path: string): Promise<Stats | undefined> => {
  try {
    return await stat(path);
  } catch {
    return undefined;
  }
};
const exists = async (path: string): Promise<boolean> => (await facts(path)) !== undefined;

/** Reads a log from its oldest file, or from `tail` lines before its end, and on over rotations. */
export class LogReader {
  readonly #path: string;
  #file: FileHandle | undefined;
  #offset = 0;
  #rest = Buffer.alloc(0);

  private constructor(path: string) {
    this.#path = path;
  }

  /** `accept` tells which lines count for `tail`. */
  static async open(
    path: string,
    tail: number | undefined,
    accept: (line: LogLine) => boolean,
  ): Promise<LogReader> {
    const reader = new LogReader(path);
    const files = await existing(path);
    let left = tail;
    let first: string | undefined = tail === undefined ? files[0] : files.at(-1);
    if (left !== undefined)
      for (const file of files.toReversed()) {
        const { offset, seen } = await backwards(file, left, accept);
        first = file;
        reader.#offset = offset;
        left -= seen;
        if (left <= 0) break;
      }
    if (first !== undefined) reader.#file = await tryOpen(first);
    return reader;
  }

  /** Whole lines up to the end of what is written now. Lines that are no log entries (cut by a crash) are left out. */
  async *read(): AsyncGenerator<LogLine> {
    for (;;) {
      if (!this.#file) {
        this.#file = await tryOpen(this.#path);
        if (!this.#file) return;
      }
      const chunk = Buffer.allocUnsafe(chunkSize);
      const { bytesRead } = await this.#file.read(chunk, 0, chunkSize, this.#offset);
      if (bytesRead > 0) {
        this.#offset += bytesRead;
        yield* this.#cut(chunk.subarray(0, bytesRead));
      } else if (!(await this.#advance())) return;
    }
  }

  *#cut(chunk: Buffer): Generator<LogLine> {
    let data = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10)) {
      const line = parseLine(data.subarray(0, end).toString("utf8"));
      data = data.subarray(end + 1);
      if (line) yield line;
    }
    this.#rest = data.length > longestLine ? Buffer.alloc(0) : Buffer.from(data);
  }

  /** At the end of a file that was rotated away: on to the next newer one. False at the end of the newest. */
  async #advance(): Promise<boolean> {
    const { ino } = await (this.#file as FileHandle).stat();
    const files = await existing(this.#path);
    const inodes = await Promise.all(files.map(async (file) => (await facts(file))?.ino));
    const at = inodes.indexOf(ino);
    if (files.length === 0 || at === files.length - 1) return false;
    const next = await tryOpen(files[at + 1] as string); // not among them any more: the oldest there is
    if (!next) return false;
    await this.#file?.close();
    this.#file = next;
    this.#offset = 0;
    this.#rest = Buffer.alloc(0);
    return true;
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }
}

const tryOpen = async (path: string): Promise<FileHandle | undefined> => {
  try {
    return await open(path, constants.O_RDONLY);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
};

/** Finds, from the end, where the last `wanted` lines that count begin. A piece without an end of line goes on in the next. */
async function backwards(
  path: string,
  wanted: number,
  accept: (line: LogLine) => boolean,
): Promise<{ offset: number; seen: number }> {
  const file = await tryOpen(path);
  if (!file) return { offset: 0, seen: 0 };
  try {
    let position = (await file.stat()).size;
    if (wanted <= 0) return { offset: position, seen: 0 };
    let rest = Buffer.alloc(0);
    let begin = position;
    let seen = 0;
    let last = true;
    /** True when this line is one too many. */
    const count = (text: Buffer): boolean => {
      const line = parseLine(text.toString("utf8"));
      if (!line || !accept(line)) return false;
      const ends = line.data.at(-1) === 10;
      if (!ends && !last) return false;
      last = false;
      if (seen === wanted) return true;
      seen++;
      return false;
    };
    while (position > 0) {
      const size = Math.min(chunkSize, position);
      const chunk = Buffer.allocUnsafe(size);
      position -= size;
      await file.read(chunk, 0, size, position);
      let data = Buffer.concat([chunk, rest]);
      if (data.at(-1) === 10 && rest.length === 0) data = data.subarray(0, -1);
      for (let at = data.lastIndexOf(10); at >= 0; at = data.lastIndexOf(10)) {
        if (count(data.subarray(at + 1))) return { offset: begin, seen };
        begin = position + at + 1;
        data = data.subarray(0, at);
      }
      rest = Buffer.from(data);
      if (rest.length > longestLine) return { offset: begin, seen };
    }
    if (rest.length > 0 && count(rest)) return { offset: begin, seen };
    return { offset: 0, seen };
  } finally {
    await file.close();
  }
}

/** One line of Docker's json-file form; `raw` holds what is not UTF-8. Undefined when it is none. */
export function parseLine(text: string): LogLine | undefined {
  if (text.length === 0) return undefined;
  try {
    const { log, stream, time, raw } = JSON.parse(text) as Record<string, unknown>;
    if (typeof log !== "string" || typeof time !== "string" || (stream !== "stdout" && stream !== "stderr"))
      return undefined;
    const data = typeof raw === "string" ? Buffer.from(raw, "base64") : Buffer.from(log, "utf8");
    return { stream, time: milliseconds(time), timestamp: time, data };
  } catch {
    return undefined;
  }
}

/** Milliseconds since the epoch of an RFC 3339 time, nanoseconds kept as a fraction. */
export function milliseconds(time: string): number {
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? "";
  const seconds = Date.parse(time.replace(/\.\d+/, ""));
  return seconds + (fraction ? Number(`0.${fraction}`) * 1000 : 0);
}
