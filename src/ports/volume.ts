/** A named folder that outlives instances. */
export interface Volume {
  project: string;
  name: string;
  anonymous: boolean;
  /** Milliseconds. */
  createdAt: number;
  labels: Record<string, string>;
  /** Host folder that is mounted. */
  path: string;
}

/** The volume room. Names are within a project. `path` of a volume never leaves the volume root. */
export interface Volumes {
  /** Throws `exists` unless it is the same. No name: an anonymous one with a 64-digit id. */
  create(project: string, name: string | undefined, labels: Record<string, string>): Promise<Volume>;
  get(project: string, name: string): Promise<Volume | undefined>;
  list(project: string): Promise<Volume[]>;
  /** Idempotent. The caller has checked that no instance uses it. */
  remove(project: string, name: string): Promise<void>;
  /** True until the first instance's image content was copied into it (`markFilled`). */
  needsFill(volume: Volume): Promise<boolean>;
  markFilled(volume: Volume): Promise<void>;
  reconcile(): Promise<void>;
}
