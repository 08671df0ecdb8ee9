import { Duplex } from "node:stream";
import { encodeFrame, FrameType, frameHeaderSize } from "../lib/frame.ts";
import type { Session } from "../ports/supervisor.ts";

export interface RelayOptions {
  /** The exit frame passed by. */
  onExit?: (exitCode: number, oomKilled: boolean) => void;
  /** The far end is gone, or the relay was given up. */
  onClose?: () => void;
  /** When the client goes: give the far end an end of input and read on to its exit frame, throwing the rest away. */
  drain?: boolean;
  /** The exit status that the client is told when the far end goes without one: its supervisor was killed. */
  lostExit?: number;
}

/**
 * A session that a client may hold before there is a far end, and that sees the exit frame pass.
 * Bytes go through as they are, both ways at the speed of the slower side.
 */
export class RelaySession extends Duplex {
  #far: Session | undefined;
  #options: RelayOptions;
  #scanner: ExitScanner;
  #pendingWrite: { chunk: Uint8Array; done: (error?: Error | null) => void } | undefined;
  #pendingFinal: (() => void) | undefined;
  #draining = false;
  #outputEnded = false;
  #abandoned = false;

  constructor(options: RelayOptions = {}) {
    super({ allowHalfOpen: true });
    this.#options = options;
    this.#scanner = new ExitScanner((code, oom) => options.onExit?.(code, oom));
    this.on("error", () => {}); // a client that breaks off is no error of the engine's
  }

  /** The far end is there: what was held goes on. */
  connect(far: Session): void {
    if (this.destroyed && !this.#options.drain) {
      far.destroy();
      return;
    }
    this.#far = far;
    far.on("data", (chunk: Buffer) => {
      this.#scanner.push(chunk);
      if (!this.#draining && !this.push(chunk)) far.pause();
    });
    far.on("end", () => this.#endOutput());
    far.on("error", () => {});
    far.on("close", () => {
      this.#options.onClose?.();
      this.#endOutput();
      if (!this.destroyed) this.#finishPending();
    });
    if (this.destroyed) this.#drain();
    else far.resume(); // it may have been handed over paused
    if (this.#pendingWrite) {
      const { chunk, done } = this.#pendingWrite;
      this.#pendingWrite = undefined;
      this.#forward(chunk, done);
    }
    if (this.#pendingFinal) {
      far.end();
      this.#finishPending();
    }
  }

  #endOutput(): void {
    if (this.#outputEnded || this.destroyed) return;
    this.#outputEnded = true;
    const { lostExit } = this.#options;
    // Amid a frame nothing can be said any more.
    if (lostExit !== undefined && this.#scanner.between && !this.#scanner.seen) {
      const payload = Buffer.alloc(8);
      payload.writeInt32LE(lostExit, 0);
      this.push(encodeFrame(FrameType.exit, payload));
    }
    this.push(null);
  }

  /** There will never be a far end: the client sees an end, not an error. */
  abandon(): void {
    this.push(null);
    this.#abandoned = true;
    this.#finishPending();
    this.#options.onClose?.();
  }

  override _read(): void {
    this.#far?.resume();
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#far) this.#forward(chunk, done);
    else if (this.#abandoned) done();
    else this.#pendingWrite = { chunk, done };
  }

  override _final(done: () => void): void {
    if (this.#far || this.#abandoned) {
      this.#far?.end();
      done();
    } else this.#pendingFinal = done;
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.#far && this.#options.drain) this.#drain();
    else if (this.#far) this.#far.destroy();
    else this.#options.onClose?.();
    this.#finishPending();
    done(error);
  }

  #forward(chunk: Uint8Array, done: (error?: Error | null) => void): void {
    const far = this.#far as Session;
    if (far.destroyed || far.writableEnded || far.write(chunk)) {
      done();
      return;
    }
    const go = () => {
      far.off("drain", go);
      far.off("close", go);
      done();
    };
    far.once("drain", go);
    far.once("close", go);
  }

  #drain(): void {
    this.#draining = true;
    const far = this.#far as Session;
    if (!far.destroyed && !far.writableEnded) {
      const end = Buffer.alloc(frameHeaderSize);
      end.writeUInt32LE(FrameType.stdinEnd, 8);
      far.write(end);
    }
    far.resume();
  }

  #finishPending(): void {
    this.#pendingWrite?.done();
    this.#pendingWrite = undefined;
    this.#pendingFinal?.();
    this.#pendingFinal = undefined;
  }
}

/** Reads frame headers only, and the payload of the exit frame. */
export class ExitScanner {
  readonly #onExit: (exitCode: number, oomKilled: boolean) => void;
  readonly #header = Buffer.alloc(frameHeaderSize + 8);
  #have = 0;
  #skip = 0;
  /** The exit frame has passed. */
  seen = false;

  constructor(onExit: (exitCode: number, oomKilled: boolean) => void) {
    this.#onExit = onExit;
  }

  /** What has passed so far is whole frames. */
  get between(): boolean {
    return this.#have === 0 && this.#skip === 0;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, chunk.length - at);
        this.#skip -= step;
        at += step;
        continue;
      }
      this.#header[this.#have++] = chunk[at++] as number;
      if (this.#have < frameHeaderSize) continue;
      const length = this.#header.readUInt32LE(0);
      const isExit = this.#header.readUInt32LE(8) === FrameType.exit && length === 8;
      if (isExit && this.#have < frameHeaderSize + 8) continue;
      if (isExit) {
        this.seen = true;
        this.#onExit(
          this.#header.readInt32LE(frameHeaderSize),
          (this.#header.readUInt32LE(frameHeaderSize + 4) & 1) === 1,
        );
      } else this.#skip = length;
      this.#have = 0;
    }
  }
}
