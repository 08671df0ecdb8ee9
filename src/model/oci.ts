/** The parts of the OCI image and runtime specifications (v1.1) that the engine reads or writes. */

export interface Descriptor {
  mediaType: string;
  /** `sha256:<64 hex>` */
  digest: string;
  /** Bytes. */
  size: number;
  annotations?: Record<string, string>;
  platform?: { architecture: string; os: string; variant?: string };
}

export interface Manifest {
  schemaVersion: 2;
  mediaType: string;
  config: Descriptor;
  layers: Descriptor[];
  annotations?: Record<string, string>;
}

/** The image configuration blob (`application/vnd.oci.image.config.v1+json`). */
export interface ImageConfig {
  architecture: string;
  os: string;
  created?: string;
  author?: string;
  config?: {
    User?: string;
    ExposedPorts?: Record<string, object>;
    Env?: string[];
    Entrypoint?: string[] | null;
    Cmd?: string[] | null;
    Volumes?: Record<string, object> | null;
    WorkingDir?: string;
    Labels?: Record<string, string> | null;
    StopSignal?: string;
  };
  rootfs: { type: "layers"; diff_ids: string[] };
  history?: { created?: string; created_by?: string; comment?: string; empty_layer?: boolean }[];
}

export interface RuntimeMount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

/** The OCI runtime configuration, as `plan()` writes it and crun or the guest's supervisor applies it. */
export interface RuntimeSpec {
  ociVersion: string;
  hostname: string;
  root: { path: string; readonly: boolean };
  process: RuntimeProcess;
  mounts: RuntimeMount[];
  annotations?: Record<string, string>;
  linux: {
    namespaces: { type: string; path?: string }[];
    resources: {
      memory?: { limit?: number; swap?: number };
      cpu?: { quota?: number; period?: number; shares?: number };
      pids?: { limit: number };
      devices: { allow: boolean; type?: string; major?: number; minor?: number; access: string }[];
    };
    cgroupsPath?: string;
    seccomp?: Seccomp;
    maskedPaths: string[];
    readonlyPaths: string[];
    sysctl?: Record<string, string>;
  };
}

export interface RuntimeProcess {
  terminal: boolean;
  /** Filled in by the supervisor, which looks the name up inside the root file system. */
  user: { uid: number; gid: number; additionalGids?: number[] };
  args: string[];
  env: string[];
  cwd: string;
  capabilities: Record<"bounding" | "effective" | "permitted" | "inheritable" | "ambient", string[]>;
  noNewPrivileges: boolean;
}

export interface Seccomp {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures: string[];
  syscalls: {
    names: string[];
    action: string;
    errnoRet?: number;
    args?: { index: number; value: number; valueTwo?: number; op: string }[];
  }[];
}
