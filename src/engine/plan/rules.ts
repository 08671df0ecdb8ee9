import type { InstanceConfig } from "../../model/instance.ts";
import type { RuntimeSpec } from "../../model/oci.ts";
import type { Effective } from "./merge.ts";
import { defaultSeccomp } from "./seccomp-default.ts";
import { capabilities, deviceRules, maskedPaths, readonlyPaths } from "./security-defaults.ts";

/** What the rules read. */
export interface Draft {
  config: InstanceConfig;
  effective: Effective;
  resources: Omit<RuntimeSpec["linux"]["resources"], "devices">;
  available?: ReadonlySet<string>;
}

/** One step from an empty specification to the whole one. */
export type Rule = (spec: RuntimeSpec, draft: Draft) => RuntimeSpec;

export const applyProcess: Rule = (spec, { config, effective }) => ({
  ...spec,
  hostname: effective.hostname,
  process: {
    ...spec.process,
    terminal: config.tty,
    args: effective.args,
    env: effective.env,
    cwd: effective.workdir,
    noNewPrivileges: config.noNewPrivileges,
  },
});

export const applyRoot: Rule = (spec, { config }) => ({
  ...spec,
  root: { ...spec.root, readonly: config.readOnlyRootfs },
});

export const applyCapabilities: Rule = (spec, { config, available }) => {
  const set = capabilities(config.capAdd, config.capDrop, available);
  return {
    ...spec,
    process: {
      ...spec.process,
      capabilities: { bounding: set, effective: set, permitted: set, inheritable: [], ambient: [] },
    },
  };
};

/** After the capabilities: the filter lets more through for some of them. */
export const applySeccomp: Rule = (spec) => ({
  ...spec,
  linux: { ...spec.linux, seccomp: defaultSeccomp(spec.process.capabilities.bounding) },
});

export const applyPaths: Rule = (spec) => ({
  ...spec,
  linux: { ...spec.linux, maskedPaths: [...maskedPaths], readonlyPaths: [...readonlyPaths] },
});

export const applyNamespaces: Rule = (spec) => ({
  ...spec,
  linux: {
    ...spec.linux,
    namespaces: ["pid", "network", "ipc", "uts", "mount", "cgroup"].map((type) => ({ type })),
  },
});

export const applyResources: Rule = (spec, { resources }) => ({
  ...spec,
  linux: { ...spec.linux, resources: { ...resources, devices: [...deviceRules] } },
});

/** Root may use low ports and everybody may ping without capabilities, within the workload's own network. */
export const applySysctls: Rule = (spec) => ({
  ...spec,
  linux: {
    ...spec.linux,
    sysctl: { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647" },
  },
});

export const rules: readonly Rule[] = [
  applyProcess,
  applyRoot,
  applyCapabilities,
  applySeccomp,
  applyPaths,
  applyNamespaces,
  applyResources,
  applySysctls,
];
