import { type FileHandle, open } from "node:fs/promises";
import { createConnection, type Socket } from "node:net";
import { basename, dirname, join } from "node:path";
import { encodeJson, FrameDecoder, FrameType, framePayloadLimit } from "../lib/frame.ts";
import { GantryError } from "../model/errors.ts";
import { errorOf, parseJson } from "./wire.ts";

/** What came back on a fresh connection: the reply, and the connection, which begins with what follows it. */
export interface Answer {
  reply: unknown;
  socket: Socket;
}

const addressLimit = 107;

/** A socket address holds 107 bytes; a longer path goes through a descriptor of its folder. */
async function dial(path: string): Promise<Socket> {
  let folder: FileHandle | undefined;
  let address = path;
  if (Buffer.byteLength(path) > addressLimit) {
    folder = await open(dirname(path), "r");
    address = `/proc/self/fd/${folder.fd}/${basename(path)}`;
  }
  try {
    return await new Promise((resolve, reject) => {
      const socket = createConnection(address);
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(socket);
      });
    });
  } finally {
    await folder?.close();
  }
}

/**
 * Sends one request to the supervisor of `folder` and waits for its reply; throws the error it holds.
 * Throws `unavailable` when no supervisor answers, `deadline` after `timeout` ms (0: without limit).
 */
export async function request(folder: string, body: object, timeout = 60_000): Promise<Answer> {
  let socket: Socket;
  try {
    socket = await dial(join(folder, "sock"));
  } catch (error) {
    throw new GantryError("unavailable", `no supervisor answers in ${folder}`, { cause: error });
  }
  try {
    return { reply: await exchange(socket, body, timeout), socket };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function exchange(socket: Socket, body: object, timeout: number): Promise<unknown> {
  const reply = await new Promise<unknown>((resolve, reject) => {
    const decoder = new FrameDecoder();
    const parts: Buffer[] = [];
    const done = (action: () => void) => {
      clearTimeout(timer);
      socket.pause();
      socket.off("data", onData).off("error", onError).off("close", onClose);
      action();
    };
    const lost = () =>
      done(() => reject(new GantryError("unavailable", "the supervisor ended during a request")));
    const onClose = lost;
    const onError = lost;
    const onData = (chunk: Buffer) => {
      parts.push(chunk);
      try {
        for (const frame of decoder.push(chunk)) {
          // What came after the reply goes back: it is the session's.
          const all = Buffer.concat(parts);
          const rest = all.subarray(12 + frame.payload.length);
          const value = frame.type === FrameType.reply ? parseJson(frame.payload) : undefined;
          done(() => {
            if (rest.length > 0) socket.unshift(rest);
            if (typeof value === "object" && value !== null) resolve(value);
            else reject(new GantryError("corrupt", "the supervisor's first frame is no reply"));
          });
          return;
        }
      } catch (error) {
        done(() => reject(error));
      }
    };
    const timer =
      timeout > 0
        ? setTimeout(
            () =>
              done(() =>
                reject(new GantryError("deadline", `the supervisor did not answer within ${timeout} ms`)),
              ),
            timeout,
          )
        : undefined;
    socket.on("data", onData).on("error", onError).on("close", onClose);
    const frame = encodeJson(FrameType.request, body);
    if (frame.length > framePayloadLimit)
      done(() => reject(new GantryError("invalid", "the request does not fit a frame of 1 MiB")));
    else socket.write(frame);
  });
  const failure = errorOf(reply);
  if (failure) throw failure;
  return reply;
}

/** A request that is over with its reply. */
export async function ask(folder: string, body: object, timeout?: number): Promise<unknown> {
  const { reply, socket } = await request(folder, body, timeout);
  socket.on("error", () => {});
  socket.destroy();
  return reply;
}
