import type { Duplex } from "node:stream";
import { encodeFrame, FrameDecoder, FrameType } from "../lib/frame.ts";

/** How a session ended: `lost` when no exit came (the engine went, or we lagged too far behind). */
export type SessionEnd =
  | { kind: "exit"; exitCode: number; oomKilled: boolean }
  | { kind: "lagged" }
  | { kind: "detached" }
  | { kind: "lost"; message: string };

/** Takes output; answers false to be left in peace until the promise of `ready` resolves. */
export interface OutputSink {
  write(data: Buffer, stream: "stdout" | "stderr"): boolean;
  ready(): Promise<void>;
}

const stdinPiece = 64 << 10;

/** A live attach or exec: output goes to a sink at the sink's pace, input is sent at the engine's pace. */
export class ClientSession {
  readonly #socket: Duplex;
  readonly #decoder = new FrameDecoder();
  #resolve: (end: SessionEnd) => void = () => {};
  /** Resolves once, when the last output was handed to the sink. */
  readonly ended: Promise<SessionEnd> = new Promise((resolve) => {
    this.#resolve = resolve;
  });
  #end: SessionEnd | undefined;

  constructor(socket: Duplex, head: Buffer, sink: OutputSink) {
    this.#socket = socket;
    socket.on("error", (error) => this.#finish({ kind: "lost", message: error.message }));
    socket.on("close", () => this.#finish({ kind: "lost", message: "the engine closed the connection" }));
    socket.on("end", () => this.#finish({ kind: "lost", message: "the engine closed the connection" }));
    socket.on("data", (piece: Buffer) => this.#take(piece, sink));
    if (head.length > 0) this.#take(head, sink);
  }

  #take(piece: Buffer, sink: OutputSink): void {
    let wait = false;
    try {
      for (const frame of this.#decoder.push(piece)) {
        if (frame.type === FrameType.stdout) wait = !sink.write(frame.payload, "stdout") || wait;
        else if (frame.type === FrameType.stderr) wait = !sink.write(frame.payload, "stderr") || wait;
        else if (frame.type === FrameType.close) this.#finish({ kind: "lagged" });
        else if (frame.type === FrameType.exit && frame.payload.length >= 4)
          this.#finish({
            kind: "exit",
            exitCode: frame.payload.readInt32LE(0),
            oomKilled: frame.payload.length >= 8 && (frame.payload.readUInt32LE(4) & 1) === 1,
          });
      }
    } catch (error) {
      this.#finish({ kind: "lost", message: (error as Error).message });
    }
    if (!wait || this.#end) return;
    this.#socket.pause();
    void sink.ready().then(() => this.#socket.resume());
  }

  #finish(end: SessionEnd): void {
    if (this.#end) return;
    this.#end = end;
    this.#socket.destroy();
    this.#resolve(end);
  }

  #send(type: FrameType, payload?: Uint8Array): boolean {
    if (this.#end || !this.#socket.writable) return true;
    return this.#socket.write(encodeFrame(type, payload));
  }

  /** Sends input; resolves when more may be sent. */
  async write(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; at += stdinPiece) {
      if (this.#send(FrameType.stdin, data.subarray(at, at + stdinPiece))) continue;
      await new Promise<void>((resolve) => {
        const finish = () => {
          this.#socket.removeListener("drain", finish);
          this.#socket.removeListener("close", finish);
          resolve();
        };
        this.#socket.on("drain", finish);
        this.#socket.on("close", finish);
      });
    }
  }

  /** Input has ended; output goes on. */
  endInput(): void {
    this.#send(FrameType.stdinEnd);
  }

  resize(rows: number, columns: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt16LE(rows, 0);
    payload.writeUInt16LE(columns, 2);
    this.#send(FrameType.resize, payload);
  }

  /** Sends a signal by its number. */
  signal(number: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32LE(number, 0);
    this.#send(FrameType.signal, payload);
  }

  /** Leaves; the process goes on. */
  detach(): void {
    this.#finish({ kind: "detached" });
  }
}
