import type { Undo } from "../lib/undo.ts";
import type { InstanceConfig, InstanceRecord, SandboxRecord } from "../model/instance.ts";
import type { Isolation } from "../model/isolation.ts";
import type { RuntimeSpec } from "../model/oci.ts";
import type { ImageSource } from "./image.ts";
import type { Attachment } from "./network.ts";
import type { ProvidedFile, Supervisor, WorkloadSpec } from "./supervisor.ts";

/** A request that cannot hold behind a wall: the flag by the user's name for it, and why. */
export interface Refusal {
  flag: string;
  reason: string;
}

/** What was probed on this host, for `gantry info` and `doctor`. */
export interface IsolationFacts {
  isolation: Isolation;
  usable: boolean;
  /** One line for people: what runs it ("crun 1.8.1", "QEMU 7.2, software emulation (KVM does not run a kernel here)"). */
  summary: string;
  /** vm: "kvm" or "tcg". */
  accelerator?: string;
  details: Record<string, string>;
  /** What a user can do when it is not usable or not at its best. */
  advice: string[];
}

/** A host folder or file that the workload sees at a mount of the runtime spec. */
export interface HostMount {
  source: string;
  target: string;
  readOnly: boolean;
}

export interface OpenRequest {
  sandbox: SandboxRecord;
  /** Absent for a sandbox that is opened only to reach the files of a stopped instance. */
  instance: InstanceRecord;
  attachment: Attachment | undefined;
  image: ImageSource;
  /** Host folders and files, volumes included. Known before boot: a VM gets no shares later. */
  hostMounts: HostMount[];
}

export interface WorkloadRequest extends OpenRequest {
  /** From `plan()`: no host paths in it but those of `hostMounts`, as mounts of type "bind". */
  oci: RuntimeSpec;
  user: string;
  files: ProvidedFile[];
}

/**
 * One wall. A backend turns records into supervisor configurations and owns the instance's writable layer;
 * it holds no state of its own. One contract suite (test/contract/isolation.ts) runs against every backend.
 */
export interface IsolationBackend {
  readonly isolation: Isolation;
  /** Probed once and cached; never guesses. */
  facts(): Promise<IsolationFacts>;
  /** Pure: what of this configuration cannot hold here. Empty when all can. */
  refusals(config: InstanceConfig): Refusal[];
  /** Capabilities that this wall has to give, by name; absent: all that Linux knows. */
  capabilities?(): ReadonlySet<string>;
  /** Makes the writable layer; idempotent. */
  createLayer(instance: InstanceRecord, image: ImageSource): Promise<void>;
  /** Removes the writable layer and whatever else the instance has on disk here; idempotent. */
  removeLayer(instanceId: string): Promise<void>;
  /** Opens the sandbox: a supervisor with its kernel, cgroup and network, no workload yet. */
  open(request: OpenRequest, undo: Undo): Promise<Supervisor>;
  /** The workload as the supervisor takes it. Pure but for file look-ups. */
  workload(request: WorkloadRequest): Promise<WorkloadSpec>;
  /** The closer of `open`, from the record alone: processes, cgroups, mounts, run folder. Idempotent; used after a crash too. */
  close(sandbox: SandboxRecord): Promise<void>;
  /**
   * Reaches the files of an instance that does not run: calls `use` with something that answers stat,
   * readArchive and writeArchive, confined as for a running one.
   */
  withFiles<T>(
    request: OpenRequest,
    use: (files: Pick<Supervisor, "stat" | "readArchive" | "writeArchive">) => Promise<T>,
  ): Promise<T>;
}
