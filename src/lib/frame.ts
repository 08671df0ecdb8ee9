import { GantryError } from "../model/errors.ts";

/** Frame types of the supervisor protocol (docs/PROTOCOL.md); the numbers are shared with supervisor/frame.h. */
export const FrameType = {
  request: 1,
  reply: 2,
  event: 3,
  stdin: 4,
  /** No payload: standard input has ended. */
  stdinEnd: 5,
  stdout: 6,
  stderr: 7,
  /** u16 rows, u16 columns. */
  resize: 8,
  /** u32 signal number. */
  signal: 9,
  /** i32 exit status, u32 flags (1: killed for lack of memory). The last frame of a session. */
  exit: 10,
  /** u32 bytes the other side may send more (only on the guest's multiplexed channel). */
  credit: 11,
  /** The stream is gone. */
  close: 12,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export interface Frame {
  type: FrameType;
  /** 0 on a unix socket; the session's number on the guest's multiplexed channel. */
  stream: number;
  payload: Buffer;
}

/** u32 payload length, u32 stream, u8 type, 3 zero bytes; little endian. */
export const frameHeaderSize = 12;
/** Larger payloads are a protocol error on either side. */
export const framePayloadLimit = 1 << 20;

/** One frame as bytes. */
export function encodeFrame(type: FrameType, payload: Uint8Array = new Uint8Array(), stream = 0): Buffer {
  if (payload.length > framePayloadLimit)
    throw new GantryError(
      "internal",
      `frame payload of ${payload.length} bytes is over the limit of ${framePayloadLimit}`,
    );
  const frame = Buffer.allocUnsafe(frameHeaderSize + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt32LE(stream, 4);
  frame.writeUInt32LE(type, 8);
  frame.set(payload, frameHeaderSize);
  return frame;
}

/** A frame whose payload is JSON. */
export const encodeJson = (type: FrameType, value: unknown, stream = 0): Buffer =>
  encodeFrame(type, Buffer.from(JSON.stringify(value)), stream);

const known = new Set<number>(Object.values(FrameType));

/** Cuts a byte stream into frames; throws `corrupt` on an unknown type, a set reserved byte or a length over the limit. */
export class FrameDecoder {
  #rest: Buffer = Buffer.alloc(0);

  *push(chunk: Uint8Array): Generator<Frame> {
    this.#rest = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= frameHeaderSize) {
      const length = this.#rest.readUInt32LE(0);
      const type = this.#rest.readUInt32LE(8);
      if (!known.has(type) || length > framePayloadLimit)
        throw new GantryError("corrupt", `frame of type ${type} and length ${length} is not in the protocol`);
      if (this.#rest.length < frameHeaderSize + length) return;
      const frame: Frame = {
        type: type as FrameType,
        stream: this.#rest.readUInt32LE(4),
        payload: this.#rest.subarray(frameHeaderSize, frameHeaderSize + length),
      };
      this.#rest = this.#rest.subarray(frameHeaderSize + length);
      yield frame;
    }
  }

  /** Bytes of a frame that has not ended yet. */
  get pending(): number {
    return this.#rest.length;
  }
}
