import type { Isolation } from "../../src/model/isolation.ts";

/** What cannot be the same behind both walls, and why. A case that expects a difference must be named here. */
export const differences: { case: string; wall: Isolation; expects: string; because: string }[] = [
  {
    case: "--storage-opt size=: a full writable layer is the workload's own problem",
    wall: "container",
    expects: "refused by name",
    because:
      "a container's writable layer is a folder of the host's file system, which here cannot limit one; a VM's is a disk of its own",
  },
  {
    case: "exec: status, streams, environment, user and folder; never outside the instance",
    wall: "vm",
    expects: "uname -r is the guest's",
    because: "a VM has its own kernel",
  },
];
