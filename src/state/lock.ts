import { chmodSync, closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { GantryError } from "../model/errors.ts";

export interface RootLock {
  release(): void;
}

/** What nobody refers to is collected, and a collected database lets go of its lock. */
const held = new Set<DatabaseSync>();

/**
 * Takes the root for this engine alone. The lock is SQLite's exclusive lock on `engine.lock`: the kernel holds it for
 * this process, children do not inherit it, and it is gone when the process is, however it ends.
 * Throws `conflict` naming the process that holds it.
 */
export function lockRoot(root: string): RootLock {
  const path = join(root, "engine.lock");
  const pidFile = join(root, "engine.pid");
  closeSync(openSync(path, "a", 0o600));
  chmodSync(path, 0o600);
  const db = new DatabaseSync(path);
  try {
    db.exec("PRAGMA busy_timeout=0");
    db.exec("PRAGMA locking_mode=EXCLUSIVE");
    db.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    db.close();
    if (!/locked|busy/i.test(String((error as Error).message)))
      throw new GantryError("internal", `${path}: ${(error as Error).message}`, { cause: error });
    throw new GantryError(
      "conflict",
      `another gantry engine${holder(pidFile)} works on ${root}; stop it, or give this one its own --root and --run`,
      { cause: error },
    );
  }
  writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
  held.add(db);
  return {
    release() {
      held.delete(db);
      db.close();
    },
  };
}

function holder(pidFile: string): string {
  try {
    const pid = readFileSync(pidFile, "utf8").trim();
    return /^\d+$/.test(pid) ? ` (pid ${pid})` : "";
  } catch {
    return "";
  }
}
