import { GantryError } from "../model/errors.ts";

const block = 512;

/** What `tarHeader` writes. */
export interface TarEntry {
  /** At most 100 bytes. */
  name: string;
  type?: "file" | "folder" | "link" | "symlink";
  /** Target of a link, at most 100 bytes. */
  link?: string;
  /** Bytes that follow. */
  size?: number;
  /** Permission bits; 0o644, folders 0o755. */
  mode?: number;
  uid?: number;
  gid?: number;
  /** Seconds since the epoch. */
  mtime?: number;
}

const typeFlags = { file: "0", link: "1", symlink: "2", folder: "5" } as const;

/** A ustar header; sizes from 8 GiB on in base 256, as GNU tar and Go write them. */
export function tarHeader(entry: TarEntry): Buffer {
  const header = Buffer.alloc(block);
  const { name, type = "file", link = "", size = 0 } = entry;
  if (Buffer.byteLength(name) > 100 || Buffer.byteLength(link) > 100)
    throw new GantryError("internal", `tar member name ${JSON.stringify(name)} is longer than 100 bytes`);
  const octal = (value: number, at: number, width: number) =>
    header.write(`${value.toString(8).padStart(width - 1, "0")}\0`, at, "latin1");
  header.write(name, 0);
  octal(entry.mode ?? (type === "folder" ? 0o755 : type === "symlink" ? 0o777 : 0o644), 100, 8);
  octal(entry.uid ?? 0, 108, 8);
  octal(entry.gid ?? 0, 116, 8);
  if (size < 8 ** 11) octal(size, 124, 12);
  else {
    header[124] = 0x80;
    header.writeBigUInt64BE(BigInt(size), 128);
  }
  octal(entry.mtime ?? 0, 136, 12);
  header.fill(0x20, 148, 156);
  header.write(typeFlags[type], 156);
  header.write(link, 157);
  header.write("ustar\x0000", 257, "latin1");
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}

/** The zero bytes after a member's content. */
export const tarPadding = (size: number): Buffer => Buffer.alloc((block - (size % block)) % block);

/** The two zero blocks at the end. */
export const tarEnd = (): Buffer => Buffer.alloc(2 * block);

/** One member with content; throws `internal` when the content is not `entry.size` bytes long. */
export async function* tarMember(
  entry: TarEntry & { size: number },
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield tarHeader(entry);
  let size = 0;
  for await (const part of content) {
    size += part.length;
    if (size > entry.size) break;
    yield part;
  }
  if (size !== entry.size)
    throw new GantryError("internal", `${entry.name} was to have ${entry.size} bytes but has another size`);
  yield tarPadding(size);
}

/** One member whose content is at hand. */
export function* tarFile(entry: TarEntry, content: string | Uint8Array): Generator<Uint8Array> {
  const bytes = Buffer.from(content);
  yield tarHeader({ ...entry, size: bytes.length });
  yield bytes;
  yield tarPadding(bytes.length);
}
