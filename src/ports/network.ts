import type { Undo } from "../lib/undo.ts";
import type { Attachment } from "../model/attachment.ts";
import type { PortBinding } from "../model/instance.ts";

export type { Attachment };

/** What an instance wants of the network. */
export interface NetworkRequest {
  sandboxId: string;
  project: string;
  mode: "nat" | "none";
  /** A container's end is a network namespace, a VM's a tap device. */
  end: "netns" | "tap";
  ports: PortBinding[];
  /** Kept over restarts when it is still free. */
  address?: string;
  mac?: string;
}

/** The network room: one bridge, its addresses, names and nft table. */
export interface Network {
  /** Makes bridge, table and DNS server if they are not there; idempotent. */
  setup(): Promise<void>;
  /** Throws `conflict` (port taken, naming it), `exhausted` (no address or bridge port left). Registers its own undo. */
  attach(request: NetworkRequest, undo: Undo): Promise<Attachment>;
  /** The closer of `attach`: links, namespace, address, rules. Idempotent. */
  detach(attachment: Attachment): Promise<void>;
  /** Makes `names` resolve to the attachment's address within `project`; empty: no longer. Survives as engine memory only. */
  setNames(project: string, attachment: Attachment, names: string[]): void;
  /** After a crash: keeps exactly `live`, removes every link, namespace, address and rule of ours beyond them. */
  reconcile(live: { project: string; attachment: Attachment; names: string[] }[]): Promise<void>;
  /** Stops DNS and watching; links and rules stay for the instances that live on. */
  stop(): Promise<void>;
  /** Takes bridge and table away; for an engine that leaves nothing behind (`gantry daemon --clean-up`, tests). */
  teardown(): Promise<void>;
  facts(): Promise<Record<string, string>>;
}
