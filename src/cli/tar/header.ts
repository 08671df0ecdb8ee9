import { GantryError } from "../../model/errors.ts";

export const blockSize = 512;

/** One entry of a tar stream, its long names and pax records applied. */
export interface Entry {
  name: string;
  linkName: string;
  /** ustar's type: "0" file, "1" hard link, "2" symbolic link, "3" and "4" devices, "5" folder, "6" fifo. */
  type: string;
  mode: number;
  uid: number;
  gid: number;
  /** Bytes that follow. */
  size: number;
  /** Seconds, with fractions. */
  mtime: number;
}

/** A header as it stands in the stream, before long names are applied. */
export interface RawHeader extends Entry {
  checksumOk: boolean;
  empty: boolean;
}

const text = (block: Buffer, from: number, length: number): string => {
  const field = block.subarray(from, from + length);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? length : end);
};

function number(block: Buffer, from: number, length: number): number {
  // GNU's base 256: the first bit is set.
  if (block[from]! & 0x80) {
    let value = BigInt(block[from]! & 0x7f);
    for (let i = 1; i < length; i++) value = (value << 8n) | BigInt(block[from + i]!);
    const result = Number(value);
    return Number.isSafeInteger(result) ? result : Number.NaN;
  }
  const digits = text(block, from, length).trim();
  return digits === "" ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
}

function checksum(block: Buffer): number {
  let sum = 8 * 32;
  for (let i = 0; i < blockSize; i++) if (i < 148 || i >= 156) sum += block[i]!;
  return sum;
}

/** Reads one 512-byte header. Throws `corrupt` when it is none. */
export function readHeader(block: Buffer): RawHeader {
  if (block.every((byte) => byte === 0))
    return {
      empty: true,
      checksumOk: true,
      name: "",
      linkName: "",
      type: "",
      mode: 0,
      uid: 0,
      gid: 0,
      size: 0,
      mtime: 0,
    };
  const prefix = text(block, 257, 6) === "ustar" && block[262] === 0 ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  const header: RawHeader = {
    empty: false,
    checksumOk: number(block, 148, 8) === checksum(block),
    name: prefix === "" ? name : `${prefix}/${name}`,
    linkName: text(block, 157, 100),
    type: String.fromCharCode(block[156]!).replace("\0", "0"),
    mode: number(block, 100, 8) & 0o7777,
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    size: number(block, 124, 12),
    mtime: number(block, 136, 12),
  };
  if (!header.checksumOk || !(header.size >= 0))
    throw new GantryError("corrupt", "the tar stream has a broken header");
  return header;
}

const octal = (value: number, length: number): string =>
  `${Math.max(0, Math.floor(value))
    .toString(8)
    .padStart(length - 1, "0")}\0`;

function ustar(entry: Entry): Buffer {
  const block = Buffer.alloc(blockSize);
  // A field that is too small here is told whole in the pax records before.
  Buffer.from(entry.name).copy(block, 0, 0, 100);
  block.write(octal(entry.mode, 8), 100, "latin1");
  block.write(octal(Math.min(entry.uid, 0o7777777), 8), 108, "latin1");
  block.write(octal(Math.min(entry.gid, 0o7777777), 8), 116, "latin1");
  block.write(octal(Math.min(entry.size, 0o77777777777), 12), 124, "latin1");
  block.write(octal(Math.min(entry.mtime, 0o77777777777), 12), 136, "latin1");
  block.write(entry.type, 156, "latin1");
  Buffer.from(entry.linkName).copy(block, 157, 0, 100);
  block.write("ustar\x0000", 257, "latin1");
  block.write(octal(checksum(block), 7), 148, "latin1");
  block[155] = 32;
  return block;
}

function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  let length = bytes + String(bytes).length;
  length = bytes + String(length).length;
  return `${length}${rest}`;
}

/** An entry's header, with a pax header before it where ustar's fields are too small. */
export function writeHeader(entry: Entry): Buffer {
  const records: string[] = [];
  if (Buffer.byteLength(entry.name) > 100) records.push(paxRecord("path", entry.name));
  if (Buffer.byteLength(entry.linkName) > 100) records.push(paxRecord("linkpath", entry.linkName));
  if (entry.size > 0o77777777777) records.push(paxRecord("size", String(entry.size)));
  if (entry.uid > 0o7777777) records.push(paxRecord("uid", String(entry.uid)));
  if (entry.gid > 0o7777777) records.push(paxRecord("gid", String(entry.gid)));
  if (!Number.isInteger(entry.mtime) || entry.mtime < 0)
    records.push(paxRecord("mtime", String(entry.mtime)));
  const header = ustar(entry);
  if (records.length === 0) return header;
  const body = Buffer.from(records.join(""));
  const pax = ustar({
    ...entry,
    name: "pax",
    linkName: "",
    type: "x",
    size: body.length,
    mtime: 0,
    mode: 0o600,
  });
  return Buffer.concat([pax, body, Buffer.alloc(padding(body.length)), header]);
}

/** Zero bytes after a body of `size` bytes. */
export const padding = (size: number): number => (blockSize - (size % blockSize)) % blockSize;
