/** The part of the DNS wire format (RFC 1035, RFC 6891) that a forwarder with a few own names needs. */

export const Type = { A: 1, PTR: 12, AAAA: 28, OPT: 41, ANY: 255 } as const;
export const Rcode = {
  ok: 0,
  formatError: 1,
  serverFailure: 2,
  noName: 3,
  notImplemented: 4,
  refused: 5,
} as const;
export const headerSize = 12;

export interface Query {
  id: number;
  opcode: number;
  recursionDesired: boolean;
  /** Lower case, without the final dot; bytes that are no plain characters, and dots within a label, as \ddd. */
  name: string;
  type: number;
  class: number;
  /** The question as it came, for the answer to repeat. */
  question: Buffer;
  /** The asker knows EDNS. */
  edns: boolean;
}

export interface Answer {
  type: number;
  /** Seconds. */
  ttl: number;
  data: Buffer;
}

/**
 * Reads a name at `offset`. Undefined when it is malformed: longer than 255 bytes, a label type that does not exist,
 * cut off, or a compression pointer that does not point further back than the last one (which is how loops end).
 */
export function readName(message: Buffer, offset: number): { name: string; end: number } | undefined {
  const labels: string[] = [];
  let end: number | undefined;
  let at = offset;
  let limit = offset;
  let total = 0;
  for (;;) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length === 0) return { name: labels.join("."), end: end ?? at + 1 };
    if (length >= 0xc0) {
      const low = message[at + 1];
      if (low === undefined) return undefined;
      const target = ((length & 0x3f) << 8) | low;
      if (target >= limit || target < headerSize) return undefined;
      end ??= at + 2;
      at = target;
      limit = target;
      continue;
    }
    if (length > 63 || at + 1 + length > message.length) return undefined;
    total += length + 1;
    if (total > 254) return undefined;
    labels.push(label(message.subarray(at + 1, at + 1 + length)));
    at += 1 + length;
  }
}

const label = (bytes: Buffer): string =>
  [...bytes]
    .map((byte) =>
      byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c
        ? String.fromCharCode(byte).toLowerCase()
        : `\\${String(byte).padStart(3, "0")}`,
    )
    .join("");

/** A name as uncompressed labels; undefined when it cannot be one. Plain characters only. */
export function encodeName(name: string): Buffer | undefined {
  const labels = name === "" ? [] : name.split(".");
  if (labels.some((one) => one.length === 0 || one.length > 63 || /[^\x21-\x7e]/.test(one))) return undefined;
  const bytes = Buffer.concat([
    ...labels.map((one) => Buffer.from(`${String.fromCharCode(one.length)}${one}`, "latin1")),
    Buffer.of(0),
  ]);
  return bytes.length > 255 ? undefined : bytes;
}

/** Reads a query with exactly one question; undefined when it is anything else. */
export function parseQuery(message: Buffer): Query | undefined {
  if (message.length < headerSize) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & 0x8000) !== 0 || message.readUInt16BE(4) !== 1) return undefined;
  const name = readName(message, headerSize);
  if (!name || name.end + 4 > message.length) return undefined;
  return {
    id: message.readUInt16BE(0),
    opcode: (flags >> 11) & 15,
    recursionDesired: (flags & 0x0100) !== 0,
    name: name.name,
    type: message.readUInt16BE(name.end),
    class: message.readUInt16BE(name.end + 2),
    question: message.subarray(headerSize, name.end + 4),
    edns: hasOpt(message, name.end + 4),
  };
}

/** Whether the first additional record of a query without other records is an OPT, which is where everyone puts it. */
function hasOpt(message: Buffer, at: number): boolean {
  const others = message.readUInt16BE(6) + message.readUInt16BE(8);
  return (
    others === 0 &&
    message.readUInt16BE(10) > 0 &&
    at + 11 <= message.length &&
    message[at] === 0 &&
    message.readUInt16BE(at + 1) === Type.OPT
  );
}

/** The answer to a query: its question again, then the records, all of them about the name asked for. */
export function encodeAnswer(
  query: Query,
  rcode: number,
  answers: readonly Answer[],
  authoritative: boolean,
): Buffer {
  const header = Buffer.alloc(headerSize);
  header.writeUInt16BE(query.id, 0);
  // QR, opcode, AA, RD as asked, RA
  const flags =
    0x8000 |
    (query.opcode << 11) |
    (authoritative ? 0x0400 : 0) |
    (query.recursionDesired ? 0x0100 : 0) |
    0x0080 |
    rcode;
  header.writeUInt16BE(flags, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(answers.length, 6);
  header.writeUInt16BE(query.edns ? 1 : 0, 10);
  const records = answers.map(({ type, ttl, data }) => {
    const record = Buffer.alloc(12);
    record.writeUInt16BE(0xc000 | headerSize, 0); // the question's name
    record.writeUInt16BE(type, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(ttl, 6);
    record.writeUInt16BE(data.length, 10);
    return Buffer.concat([record, data]);
  });
  const opt = query.edns ? [Buffer.from([0, 0, Type.OPT, 0x04, 0xd0, 0, 0, 0, 0, 0, 0])] : []; // 1232 bytes of payload
  return Buffer.concat([header, query.question, ...records, ...opt]);
}

/** An error for a message that is too broken to repeat; undefined when not even its header came. */
export function encodeFormatError(message: Buffer): Buffer | undefined {
  if (message.length < headerSize || (message[2]! & 0x80) !== 0) return undefined;
  const header = Buffer.alloc(headerSize);
  message.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8080 | Rcode.formatError, 2);
  return header;
}

/** Whether `reply` answers `query` sent with `id`: the only replies that are passed on. */
export function isReplyTo(reply: Buffer, id: number, question: Buffer): boolean {
  if (reply.length < headerSize + question.length) return false;
  if (reply.readUInt16BE(0) !== id || (reply[2]! & 0x80) === 0 || reply.readUInt16BE(4) !== 1) return false;
  return reply.subarray(headerSize, headerSize + question.length).equals(question);
}
