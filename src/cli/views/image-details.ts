import type { ImageView } from "../../client/types.ts";

/** An image with Docker's names. */
export function imageDetails({ name, digest, manifest, config }: ImageView) {
  return {
    Id: digest,
    RepoTags: name === undefined ? [] : [name],
    Created: config.created ?? "",
    Author: config.author ?? "",
    Comment: config.history?.at(-1)?.comment ?? "",
    Architecture: config.architecture,
    Os: config.os,
    Size: manifest.layers.reduce((sum, layer) => sum + layer.size, manifest.config.size),
    Config: {
      User: config.config?.User ?? "",
      ExposedPorts: config.config?.ExposedPorts ?? {},
      Env: config.config?.Env ?? [],
      Entrypoint: config.config?.Entrypoint ?? null,
      Cmd: config.config?.Cmd ?? null,
      Volumes: config.config?.Volumes ?? {},
      WorkingDir: config.config?.WorkingDir ?? "",
      Labels: config.config?.Labels ?? {},
      StopSignal: config.config?.StopSignal ?? "",
    },
    RootFS: { Type: config.rootfs.type, Layers: config.rootfs.diff_ids },
    Manifest: manifest,
    History: config.history ?? [],
  };
}
