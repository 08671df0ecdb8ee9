import { createHash } from "node:crypto";
import type { Seccomp } from "../model/oci.ts";

const most = 256;

/**
 * Compiles OCI seccomp profiles, each once: base64 of `struct sock_filter[]`. `compile` takes the profile as JSON and
 * gives the program (the supervisor's mode `seccomp`); it costs tens of milliseconds.
 */
export function cachedSeccomp(
  compile: (profile: Buffer) => Promise<Buffer>,
): (profile: Seccomp) => Promise<string> {
  const compiled = new Map<string, Promise<string>>();
  return (profile) => {
    const text = JSON.stringify(profile);
    const digest = createHash("sha256").update(text).digest("hex");
    const known = compiled.get(digest);
    if (known) return known;
    const filter = compile(Buffer.from(text)).then((program) => program.toString("base64"));
    compiled.set(digest, filter);
    filter.catch(() => compiled.delete(digest));
    if (compiled.size > most) compiled.delete(compiled.keys().next().value!);
    return filter;
  };
}
