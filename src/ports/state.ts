import type { InstanceRecord, SandboxRecord } from "../model/instance.ts";

/** The engine's durable memory. Every write is on disk when it returns. */
export interface State {
  instances: Table<InstanceRecord>;
  sandboxes: Table<SandboxRecord>;
  /** Finds by id, unambiguous id prefix or name within a project. Throws `not_found`, or `conflict` for an ambiguous prefix. */
  findInstance(project: string, reference: string): InstanceRecord;
  nameTaken(project: string, name: string): boolean;
  /** Several writes that count together or not at all. */
  transaction<T>(fn: () => T): T;
  setting(key: string): string | undefined;
  setSetting(key: string, value: string): void;
  close(): void;
}

export interface Table<R> {
  get(id: string): R | undefined;
  put(record: R): void;
  delete(id: string): void;
  all(project?: string): R[];
}
