import type { PortBinding } from "./instance.ts";

/** What it got: plain data, recorded in the sandbox's record, enough to undo it after a crash. */
export interface Attachment {
  sandboxId: string;
  mode: "nat" | "none";
  end: "netns" | "tap";
  /** netns: path of the bound namespace. */
  netns?: string;
  /** tap: interface name on the host, made persistent with IFF_VNET_HDR, owned by `tapUid` when given. */
  tap?: string;
  /** Host end's interface name (veth) in the bridge. */
  hostLink?: string;
  /** With mode nat. */
  address?: string;
  /** Prefix length. */
  prefix?: number;
  gateway?: string;
  mac?: string;
  mtu?: number;
  /** With host ports chosen. */
  ports: PortBinding[];
}
