import type { InstanceConfig } from "../../model/instance.ts";
import type { ImageConfig } from "../../model/oci.ts";

/** A configuration as a client sends it when nothing is asked for. */
export const testConfig = (own: Partial<InstanceConfig>): InstanceConfig => ({
  image: "localhost/busybox:latest",
  isolation: "container",
  env: [],
  tty: false,
  openStdin: false,
  stdinOnce: false,
  labels: {},
  mounts: [],
  readOnlyRootfs: false,
  network: "nat",
  ports: [],
  limits: {},
  restart: { name: "no", maxRetries: 0 },
  capAdd: [],
  capDrop: [],
  noNewPrivileges: false,
  autoRemove: false,
  ...own,
});

export const testImage = (config: NonNullable<ImageConfig["config"]>): ImageConfig => ({
  architecture: "amd64",
  os: "linux",
  config,
  rootfs: { type: "layers", diff_ids: [] },
});
