import type { Attachment } from "../ports/network.ts";

/** What this engine's links and tables are called; all of it follows from the tag, so that a crash forgets nothing. */
export interface Names {
  bridge: string;
  /** nft tables of the families ip and bridge. */
  table: string;
  /** Host ends of instances start with this; the bridge does not. */
  linkPrefix: string;
  /** Link group of what is about to be deleted: the kernel takes a whole group away in one go. */
  doomedGroup: number;
  /** Comment of the rule in Docker's chain. */
  mark: string;
}

export const namesOf = (tag: string): Names => ({
  bridge: `gt-${tag}`,
  table: `gantry_${tag}`,
  linkPrefix: `g${tag}`,
  doomedGroup: 0x47000000 + (Number.parseInt(tag, 16) % 0x1000000),
  mark: `gantry-${tag}`,
});

/**
 * Host link of the instance with the address number `offset` in the subnet: as unique as the address itself,
 * and never longer than the kernel's 15 characters (1 + 6 + 1 + at most 6 digits).
 */
export const linkName = (names: Names, end: Attachment["end"], offset: number): string =>
  `${names.linkPrefix}${end === "netns" ? "v" : "p"}${offset.toString(16).padStart(4, "0")}`;

/** Whether a link is the host end of one of our instances. */
export const isOurLink = (names: Names, link: string): boolean =>
  link.startsWith(names.linkPrefix) && /^[vp][0-9a-f]{4,6}$/.test(link.slice(names.linkPrefix.length));
