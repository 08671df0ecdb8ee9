import type { Static } from "typebox";
import type { InstanceConfig } from "../../model/instance.ts";
import type { NewConfig } from "./schemas.ts";

/** What a request that says no more than an image gets. */
const configDefaults = {
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
} as const satisfies Partial<Record<keyof InstanceConfig, unknown>>;

/** A whole configuration from what the client sent. */
export const completeConfig = (config: Static<typeof NewConfig>): InstanceConfig => ({
  ...structuredClone(configDefaults as unknown as Omit<InstanceConfig, "image">),
  ...config,
});
