import type { Volume } from "../../ports/volume.ts";

/** A volume with Docker's names. */
export const volumeDetails = (volume: Volume & { usedBy: string[] }) => ({
  Name: volume.name,
  Driver: "local",
  Mountpoint: volume.path,
  CreatedAt: new Date(volume.createdAt).toISOString(),
  Labels: volume.labels,
  Scope: "local",
  Options: {},
  Anonymous: volume.anonymous,
  Project: volume.project,
  UsedBy: volume.usedBy,
});
