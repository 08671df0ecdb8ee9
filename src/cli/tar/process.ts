import { spawn } from "node:child_process";
import { GantryError } from "../../model/errors.ts";

/** TAR_OPTIONS would change what our arguments mean. */
function environment(): NodeJS.ProcessEnv {
  const { TAR_OPTIONS: _, ...rest } = process.env;
  return { ...rest, LC_ALL: "C" };
}

interface Tar {
  /** Rejects with the end of its complaints. */
  ended: Promise<void>;
  child: ReturnType<typeof spawn>;
}

function start(args: readonly string[], what: string): Tar {
  const child = spawn("tar", args, { stdio: ["pipe", "pipe", "pipe"], env: environment() });
  let complaints = "";
  child.stderr!.on("data", (piece: Buffer) => {
    complaints = (complaints + piece.toString("utf8")).slice(-4096);
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        error.code === "ENOENT"
          ? new GantryError("unavailable", "cp needs GNU tar, which is not on the PATH")
          : error,
      ),
    );
    child.once("close", (code) => {
      // 1: a file changed while it was read, as any copy of a live folder may see.
      if (code === 0 || code === 1) return resolve();
      const last = complaints.trim().split("\n").slice(-2).join(" / ").replaceAll("tar: ", "");
      reject(new GantryError("internal", `${what} failed: ${last || `tar ended with ${code}`}`));
    });
  });
  ended.catch(() => {}); // awaited by the caller
  child.stdin!.on("error", () => {}); // told by its exit status
  return { ended, child };
}

/** A tar stream of `name` in the folder `parent`. */
export async function* createTar(parent: string, name: string, archive: boolean): AsyncGenerator<Uint8Array> {
  const { child, ended } = start(
    [
      "--create",
      "--file=-",
      "--format=pax",
      "--pax-option=delete=atime,delete=ctime",
      "--numeric-owner",
      ...(archive ? [] : ["--owner=0", "--group=0"]),
      `--directory=${parent}`,
      "--",
      `./${name}`,
    ],
    `reading ${parent}/${name}`,
  );
  child.stdin!.end();
  try {
    yield* child.stdout as AsyncIterable<Uint8Array>;
    await ended;
  } finally {
    child.kill();
  }
}

/**
 * Unpacks a tar stream into a folder. GNU tar takes the names' leading slashes off, refuses `..`, and makes
 * symbolic links that leave the folder last, so that nothing is written through them.
 */
export async function extractTar(
  folder: string,
  source: AsyncIterable<Uint8Array>,
  archive: boolean,
): Promise<void> {
  const { child, ended } = start(
    [
      "--extract",
      "--file=-",
      `--directory=${folder}`,
      "--numeric-owner",
      archive ? "--same-owner" : "--no-same-owner",
      "--same-permissions",
      "--delay-directory-restore",
      "--no-xattrs",
      "--no-acls",
      "--no-selinux",
      "--warning=no-timestamp",
    ],
    `writing into ${folder}`,
  );
  child.stdout!.resume();
  const stdin = child.stdin!;
  try {
    for await (const piece of source) {
      if (stdin.destroyed || stdin.writableEnded) break;
      if (stdin.write(piece)) continue;
      await new Promise<void>((resolve) => {
        stdin.once("drain", () => resolve());
        stdin.once("close", () => resolve());
      });
    }
    stdin.end();
    await ended;
  } catch (error) {
    child.kill();
    throw error;
  }
}
