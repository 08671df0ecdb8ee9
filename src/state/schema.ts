import { GantryError } from "../model/errors.ts";
import type { Database } from "./database.ts";

/**
 * Each entry takes the schema from its index to the next version. Never change one that was released: add another.
 * A record is one JSON column; what is looked up by stands beside it as a column.
 */
const migrations: readonly string[][] = [
  [
    `CREATE TABLE instances (
       id TEXT PRIMARY KEY,
       project TEXT NOT NULL,
       name TEXT NOT NULL,
       state TEXT NOT NULL,
       created_at INTEGER NOT NULL,
       record TEXT NOT NULL,
       UNIQUE (project, name)
     ) STRICT`,
    "CREATE INDEX instances_state ON instances (state)",
    `CREATE TABLE sandboxes (
       id TEXT PRIMARY KEY,
       project TEXT NOT NULL,
       record TEXT NOT NULL
     ) STRICT`,
    "CREATE INDEX sandboxes_project ON sandboxes (project)",
    "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
  ],
];

export const schemaVersion = migrations.length;

/** Brings the database to this build's schema. Throws `unsupported` for one that a newer build wrote. */
export function migrate(db: Database): void {
  db.run("CREATE TABLE IF NOT EXISTS schema (version INTEGER NOT NULL) STRICT");
  const version = (db.value("SELECT max(version) FROM schema") as number | null | undefined) ?? 0;
  if (version > schemaVersion)
    throw new GantryError(
      "unsupported",
      `the state has schema version ${version}, this build knows up to ${schemaVersion}; run the newer gantry`,
    );
  for (let next = version; next < schemaVersion; next++)
    db.transaction(() => {
      for (const sql of migrations[next] ?? []) db.run(sql);
      db.run("DELETE FROM schema");
      db.run("INSERT INTO schema (version) VALUES (?)", next + 1);
    });
}
