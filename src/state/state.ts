import { join } from "node:path";
import { GantryError } from "../model/errors.ts";
import { shortId } from "../model/ids.ts";
import type { InstanceRecord, SandboxRecord } from "../model/instance.ts";
import type { State, Table } from "../ports/state.ts";
import { type Database, openDatabase } from "./database.ts";
import { migrate } from "./schema.ts";

/** Opens the state under `root` (`state.db`), making or migrating it. The caller holds the root's lock. */
export function openState(root: string): State {
  const db = openDatabase(join(root, "state.db"));
  try {
    migrate(db);
  } catch (error) {
    db.close();
    throw error;
  }
  return {
    instances: instanceTable(db),
    sandboxes: sandboxTable(db),
    findInstance: (project, reference) => findInstance(db, project, reference),
    nameTaken: (project, name) =>
      db.value("SELECT 1 FROM instances WHERE project = ? AND name = ?", project, name) !== undefined,
    transaction: (fn) => db.transaction(fn),
    setting: (key) => db.value("SELECT value FROM settings WHERE key = ?", key) as string | undefined,
    setSetting: (key, value) =>
      db.run(
        "INSERT INTO settings VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        key,
        value,
      ),
    close: () => db.close(),
  };
}

/** SQLite's own check of the whole file; "ok" when nothing is wrong. For `doctor`. */
export function checkState(root: string): string {
  const db = openDatabase(join(root, "state.db"));
  try {
    return String(db.value("PRAGMA quick_check"));
  } finally {
    db.close();
  }
}

const parse = <R>(json: unknown): R => JSON.parse(json as string) as R;

function instanceTable(db: Database): Table<InstanceRecord> {
  return {
    get: (id) => {
      const json = db.value("SELECT record FROM instances WHERE id = ?", id);
      return json === undefined ? undefined : parse<InstanceRecord>(json);
    },
    put(record) {
      const holder = db.value(
        "SELECT id FROM instances WHERE project = ? AND name = ? AND id <> ?",
        record.project,
        record.name,
        record.id,
      );
      if (holder !== undefined)
        throw new GantryError(
          "conflict",
          `the name ${JSON.stringify(record.name)} is already in use by instance ${shortId(String(holder))}; remove or rename it to use the name again`,
        );
      db.run(
        `INSERT INTO instances VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, state = excluded.state, record = excluded.record`,
        record.id,
        record.project,
        record.name,
        record.state,
        record.createdAt,
        JSON.stringify(record),
      );
    },
    delete: (id) => db.run("DELETE FROM instances WHERE id = ?", id),
    all: (project) =>
      (project === undefined
        ? db.column("SELECT record FROM instances ORDER BY created_at DESC, id")
        : db.column("SELECT record FROM instances WHERE project = ? ORDER BY created_at DESC, id", project)
      ).map((json) => parse<InstanceRecord>(json)),
  };
}

function sandboxTable(db: Database): Table<SandboxRecord> {
  return {
    get: (id) => {
      const json = db.value("SELECT record FROM sandboxes WHERE id = ?", id);
      return json === undefined ? undefined : parse<SandboxRecord>(json);
    },
    put: (record) =>
      db.run(
        "INSERT INTO sandboxes VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
        record.id,
        record.project,
        JSON.stringify(record),
      ),
    delete: (id) => db.run("DELETE FROM sandboxes WHERE id = ?", id),
    all: (project) =>
      (project === undefined
        ? db.column("SELECT record FROM sandboxes ORDER BY id")
        : db.column("SELECT record FROM sandboxes WHERE project = ? ORDER BY id", project)
      ).map((json) => parse<SandboxRecord>(json)),
  };
}

/** A full id wins over a name, a name over an id prefix. */
function findInstance(db: Database, project: string, reference: string): InstanceRecord {
  const exact =
    db.value("SELECT record FROM instances WHERE project = ? AND id = ?", project, reference) ??
    db.value("SELECT record FROM instances WHERE project = ? AND name = ?", project, reference);
  if (exact !== undefined) return parse<InstanceRecord>(exact);
  const prefixed = /^[0-9a-f]{1,64}$/.test(reference)
    ? db.column(
        "SELECT record FROM instances WHERE project = ? AND id >= ? AND id < ? LIMIT 2",
        project,
        reference,
        `${reference}g`,
      )
    : [];
  if (prefixed.length > 1)
    throw new GantryError("conflict", `${reference} is the beginning of several ids; give more digits`);
  if (prefixed.length === 1) return parse<InstanceRecord>(prefixed[0]);
  throw new GantryError(
    "not_found",
    `no such instance: ${JSON.stringify(reference.slice(0, 128))}; \`gantry ps -a\` lists them`,
  );
}
