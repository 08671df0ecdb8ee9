import type { ClientSession, SessionEnd } from "../client/session.ts";
import { DetachKeys } from "./detach-keys.ts";
import { standardInput } from "./input.ts";
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
async function sendInput(session: ClientSession, keys: DetachKeys | undefined): Promise<void> {
  try {
    for await (const piece of standardInput()) {
      const { pass, detached } = keys ? keys.push(piece) : { pass: piece, detached: false };
      if (pass.length > 0) await session.write(pass);
      if (detached) return session.detach();
    }
  } catch (error) {
    complain(`gantry: cannot read standard input: ${(error as Error).message}\n`);
  }
  session.endInput();
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
  if (options.stdin) void sendInput(session, options.tty ? new DetachKeys(options.detachKeys) : undefined);
  return await ended;
}

/** Tells why a session ended without an exit code; the process goes on. */
export function explainEnd(end: Exclude<SessionEnd, { kind: "exit" }>, name: string): void {
  if (end.kind === "lagged")
    complain(`gantry: the output was read too slowly and is cut off here; see "gantry logs ${name}"\n`);
  else if (end.kind === "lost")
    complain(`gantry: ${end.message}; ${name} may go on: see "gantry ps" and "gantry logs ${name}"\n`);
}
