import { createHash } from "node:crypto";
import type { Seccomp } from "../../model/oci.ts";
import type { Supervisors } from "../../ports/supervisor.ts";

/** Compiles OCI seccomp profiles for the guest, each once: base64 of `struct sock_filter[]`. */
export function createSeccompCompiler(supervisors: Pick<Supervisors, "oneShot">) {
  const compiled = new Map<string, Promise<string>>();
  return (profile: Seccomp): Promise<string> => {
    const text = JSON.stringify(profile);
    const digest = createHash("sha256").update(text).digest("hex");
    const known = compiled.get(digest);
    if (known) return known;
    const filter = supervisors
      .oneShot(["seccomp"], Buffer.from(text))
      .then((program) => program.toString("base64"));
    compiled.set(digest, filter);
    filter.catch(() => compiled.delete(digest));
    if (compiled.size > 256) compiled.delete(compiled.keys().next().value!);
    return filter;
  };
}
