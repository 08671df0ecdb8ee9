import type { ClientSession, SessionEnd } from "../client/session.ts";
import { DetachKeys } from "./detach-keys.ts";
import { complain } from "./stdio.ts";
import { followSize, rawMode } from "./terminal.ts";

export interface ForegroundOptions {
  tty: boolean;
  /** Send our standard input. */
  stdin: boolean;
  /** Keys that detach (only with a terminal). */
  detachKeys: readonly number[];
}

export const defaultDetachKeys = "ctrl-p,ctrl-q";

/** Sends our standard input until it or the session ends; detaches on the keys. */
function sendInput(session: ClientSession, keys: DetachKeys | undefined): () => void {
  const { stdin } = process;
  let busy = Promise.resolve();
  const take = (piece: Buffer) => {
    const { pass, detached } = keys ? keys.push(piece) : { pass: piece, detached: false };
    stdin.pause();
    busy = busy.then(async () => {
      if (pass.length > 0) await session.write(pass);
      if (detached) session.detach();
      else stdin.resume();
    });
  };
  const end = () => void busy.then(() => session.endInput());
  stdin.on("data", take);
  stdin.on("end", end);
  stdin.on("error", end);
  stdin.resume();
  return () => {
    stdin.removeListener("data", take);
    stdin.removeListener("end", end);
    stdin.pause();
  };
}

/** Joins our terminal and a live session until it ends; the terminal is as before afterwards. */
export async function foreground(
  session: ClientSession,
  options: ForegroundOptions,
  started: () => Promise<void> = async () => {},
): Promise<SessionEnd> {
  const ended = session.ended;
  using stack = new DisposableStack();
  if (options.tty && options.stdin) stack.use(rawMode());
  await started();
  if (options.tty) stack.use(followSize((rows, columns) => session.resize(rows, columns)));
  if (options.stdin)
    stack.defer(sendInput(session, options.tty ? new DetachKeys(options.detachKeys) : undefined));
  return await ended;
}

/** Tells why a session ended without an exit code; the process goes on. */
export function explainEnd(end: Exclude<SessionEnd, { kind: "exit" }>, name: string): void {
  if (end.kind === "lagged")
    complain(`gantry: the output was read too slowly and is cut off here; see "gantry logs ${name}"\n`);
  else if (end.kind === "lost")
    complain(`gantry: ${end.message}; ${name} may go on: see "gantry ps" and "gantry logs ${name}"\n`);
}
