import { GantryError } from "../model/errors.ts";

/** One member of an archive. `body` must be read, or is skipped, before the next member. */
export interface TarMember {
  name: string;
  type: "file" | "link" | "symlink" | "folder" | "other";
  /** Target of a link. */
  link: string;
  /** Bytes of `body`. */
  size: number;
  body: AsyncIterable<Uint8Array>;
}

const block = 512;
const nameLimit = 4096;
const headerLimit = 1 << 20;
const memberLimit = 100_000;
const corrupt = (why: string) => new GantryError("corrupt", `the archive is damaged: ${why}`);

/** Hands out a stream's bytes in wanted amounts. */
class Bytes {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array();

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Exactly `count` bytes, in parts; throws `corrupt` when the stream ends before. */
  async *parts(count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0; ) {
      if (this.#rest.length === 0) {
        const next = await this.#source.next();
        if (next.done) throw corrupt("it is truncated");
        this.#rest = next.value;
      }
      const part = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(part.length);
      left -= part.length;
      if (part.length > 0) yield part;
    }
  }

  async exactly(count: number): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    for await (const part of this.parts(count)) parts.push(part);
    return Buffer.concat(parts);
  }

  async skip(count: number): Promise<void> {
    for await (const _ of this.parts(count));
  }

  /** Reads to the end, at most `limit` bytes; leaves the source closed. */
  async finish(limit: number): Promise<void> {
    let size = this.#rest.length;
    for (;;) {
      if (size > limit) throw corrupt("much data follows its end");
      const next = await this.#source.next();
      if (next.done) return;
      size += next.value.length;
    }
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }
}

const text = (field: Buffer): string => {
  const end = field.indexOf(0);
  return field.subarray(0, end < 0 ? field.length : end).toString("utf8");
};

/** A number field: octal text, or base 256 as GNU tar writes large ones. */
function number(field: Buffer, what: string): number {
  let value: number;
  if ((field[0] ?? 0) & 0x80) {
    if (field[0] !== 0x80) throw corrupt(`${what} is negative or too large`);
    value = Number(BigInt(`0x${field.subarray(1).toString("hex")}`));
  } else {
    const digits = text(field).trim();
    if (!/^[0-7]*$/.test(digits)) throw corrupt(`${what} is ${JSON.stringify(digits)}, not an octal number`);
    value = digits === "" ? 0 : Number.parseInt(digits, 8);
  }
  if (!Number.isSafeInteger(value)) throw corrupt(`${what} is too large`);
  return value;
}

function checkSum(header: Buffer): void {
  let sum = 8 * 32;
  for (let at = 0; at < block; at++) if (at < 148 || at >= 156) sum += header[at] as number;
  const told = text(header.subarray(148, 156)).trim();
  if (!/^[0-7]+$/.test(told) || Number.parseInt(told, 8) !== sum)
    throw corrupt("a header's checksum is wrong (or this is no tar archive)");
}

/** The records of a pax header, `LENGTH KEY=VALUE\n` each. */
function paxRecords(data: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const digits = space < 0 ? "" : data.subarray(at, space).toString("latin1");
    const end = at + Number(digits);
    if (!/^[1-9][0-9]{0,7}$/.test(digits) || end > data.length || end <= space || data[end - 1] !== 0x0a)
      throw corrupt("an extended header is malformed");
    const record = data.subarray(space + 1, end - 1).toString("utf8");
    const equals = record.indexOf("=");
    if (equals <= 0) throw corrupt("an extended header is malformed");
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at = end;
  }
  return records;
}

const types: Record<string, TarMember["type"]> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "1": "link",
  "2": "symlink",
  "5": "folder",
};

/**
 * Reads the members of a tar (ustar, GNU, pax) one by one, bounded: names of 4 KiB, 100,000 members, headers of
 * 1 MiB. It is for the outer archive of images; layers are unpacked by the confined unpacker. Throws `corrupt` for
 * what is malformed or truncated, `unsupported` for sparse members.
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember> {
  const bytes = new Bytes(source);
  let long: { name?: string; link?: string } = {};
  let pax = new Map<string, string>();
  let count = 0;
  try {
    for (;;) {
      const header = await bytes.exactly(block);
      if (header.every((byte) => byte === 0)) {
        // Two zero blocks end an archive; what pads it to its record size is read so that no writer gets EPIPE.
        await bytes.finish(1 << 24);
        return;
      }
      checkSum(header);
      if (++count > memberLimit) throw corrupt(`it has more than ${memberLimit} members`);
      const type = String.fromCharCode(header[156] as number);
      let size = number(header.subarray(124, 136), "a size");
      if ("LKxg".includes(type)) {
        if (size > headerLimit) throw corrupt("an extended header is too large");
        const data = await bytes.exactly(size);
        await bytes.skip((block - (size % block)) % block);
        if (type === "L") long.name = text(data);
        else if (type === "K") long.link = text(data);
        else if (type === "x") pax = paxRecords(data);
        continue;
      }
      if (type === "S" || [...pax.keys()].some((key) => key.startsWith("GNU.sparse.")))
        throw new GantryError("unsupported", "the archive has sparse members; write it without --sparse");
      const paxSize = pax.get("size");
      if (paxSize !== undefined) {
        if (!/^[0-9]{1,16}$/.test(paxSize)) throw corrupt(`a size is ${JSON.stringify(paxSize)}`);
        size = Number(paxSize);
      }
      const prefix =
        header.subarray(257, 263).toString("latin1") === "ustar\0" ? text(header.subarray(345, 500)) : "";
      const short = text(header.subarray(0, 100));
      const name = pax.get("path") ?? long.name ?? (prefix === "" ? short : `${prefix}/${short}`);
      const link = pax.get("linkpath") ?? long.link ?? text(header.subarray(157, 257));
      if (name === "" || name.includes("\0") || name.length > nameLimit || link.length > nameLimit)
        throw corrupt("a member's name is empty or too long");
      long = {};
      pax = new Map();
      const kind = types[type] ?? "other";
      if (kind !== "file" && kind !== "other") size = 0;
      let left = size;
      const body = (async function* () {
        for await (const part of bytes.parts(left)) {
          left -= part.length;
          yield part;
        }
      })();
      yield { name, type: kind, link, size, body };
      await body.return(undefined);
      await bytes.skip(left);
      await bytes.skip((block - (size % block)) % block);
    }
  } finally {
    await bytes.close();
  }
}
