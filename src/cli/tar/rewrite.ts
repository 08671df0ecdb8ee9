import { GantryError } from "../../model/errors.ts";
import { blockSize, type Entry, padding, readHeader, writeHeader } from "./header.ts";

/** Bytes of a long name or of an entry's pax records. */
const metaLimit = 1 << 20;
const nameLimit = 4096;

const corrupt = (why: string): GantryError => new GantryError("corrupt", `the tar stream ${why}`);

/** Reads exact numbers of bytes from pieces of any size. */
class Reader {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async #more(): Promise<boolean> {
    const next = await this.#source.next();
    if (next.done) return false;
    this.#rest = this.#rest.length === 0 ? Buffer.from(next.value) : Buffer.concat([this.#rest, next.value]);
    return true;
  }

  /** Exactly `size` bytes; undefined when the stream ends before the first of them. */
  async read(size: number): Promise<Buffer | undefined> {
    while (this.#rest.length < size)
      if (!(await this.#more())) {
        if (this.#rest.length === 0) return undefined;
        throw corrupt("ends in the middle");
      }
    const result = this.#rest.subarray(0, size);
    this.#rest = this.#rest.subarray(size);
    return result;
  }

  /** `size` bytes as they come. */
  async *pass(size: number): AsyncGenerator<Buffer> {
    for (let left = size; left > 0; ) {
      if (this.#rest.length === 0 && !(await this.#more())) throw corrupt("ends in the middle");
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      if (piece.length > 0) yield piece;
    }
  }

  async drain(): Promise<void> {
    this.#rest = Buffer.alloc(0);
    while (!(await this.#source.next()).done);
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }
}

function paxRecords(body: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const length = Number(body.toString("latin1", at, Math.max(at, space)));
    if (!(length > 0) || at + length > body.length || space < 0) throw corrupt("has broken pax records");
    const record = body.toString("utf8", space + 1, at + length - 1);
    const equals = record.indexOf("=");
    if (equals > 0) records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}

async function meta(reader: Reader, size: number): Promise<Buffer> {
  if (size > metaLimit) throw corrupt("has a name or records that are too long");
  const body = await reader.read(size + padding(size));
  if (!body) throw corrupt("ends in the middle");
  return Buffer.from(body.subarray(0, size));
}

function apply(entry: Entry, records: Map<string, string>): Entry {
  for (const key of records.keys())
    if (key.startsWith("GNU.sparse")) throw corrupt("has sparse files, which cp does not take");
  const number = (key: string, otherwise: number) => {
    const value = records.get(key);
    if (value === undefined) return otherwise;
    if (!/^-?\d{1,16}(\.\d+)?$/.test(value))
      throw corrupt(`has the ${key} ${JSON.stringify(value.slice(0, 40))}`);
    return Number(value);
  };
  return {
    ...entry,
    name: records.get("path") ?? entry.name,
    linkName: records.get("linkpath") ?? entry.linkName,
    size: number("size", entry.size),
    uid: number("uid", entry.uid),
    gid: number("gid", entry.gid),
    mtime: number("mtime", entry.mtime),
  };
}

/**
 * Reads a tar stream and writes it anew entry by entry as `change` says; an entry for which it answers
 * undefined is left out. Extended attributes are not kept. Everything is bounded; throws `corrupt`.
 */
export async function* rewriteTar(
  source: AsyncIterable<Uint8Array>,
  change: (entry: Entry) => Entry | undefined,
): AsyncGenerator<Uint8Array> {
  const reader = new Reader(source);
  let longName: string | undefined;
  let longLink: string | undefined;
  let records = new Map<string, string>();
  try {
    for (;;) {
      const block = await reader.read(blockSize);
      if (!block) throw corrupt("ends without its end mark");
      const { empty, checksumOk: _, ...header } = readHeader(block);
      if (empty) break;
      if (header.type === "L" || header.type === "K") {
        const name = (await meta(reader, header.size)).toString("utf8").replace(/\0.*$/s, "");
        if (header.type === "L") longName = name;
        else longLink = name;
        continue;
      }
      if (header.type === "x" || header.type === "g") {
        const body = await meta(reader, header.size);
        if (header.type === "x") records = paxRecords(body);
        continue;
      }
      const entry = apply(
        { ...header, name: longName ?? header.name, linkName: longLink ?? header.linkName },
        records,
      );
      longName = longLink = undefined;
      records = new Map();
      if (entry.type === "S") throw corrupt("has sparse files, which cp does not take");
      if (entry.type === "7") entry.type = "0";
      if (
        entry.name.length > nameLimit ||
        entry.linkName.length > nameLimit ||
        /\0/.test(entry.name + entry.linkName)
      )
        throw corrupt("has a name that is too long or not one");
      // Only files have a body, whatever else says it does.
      const size = entry.type === "0" ? entry.size : 0;
      if (!(size >= 0)) throw corrupt("has an entry of negative size");
      const changed = change({ ...entry, size });
      if (changed) yield writeHeader(changed);
      for await (const piece of reader.pass(entry.size)) if (changed && size > 0) yield piece;
      const fill = padding(entry.size);
      if (fill > 0 && !(await reader.read(fill))) throw corrupt("ends in the middle");
      if (changed && size > 0 && fill > 0) yield Buffer.alloc(fill);
    }
    yield Buffer.alloc(2 * blockSize);
    await reader.drain();
  } finally {
    await reader.close();
  }
}
