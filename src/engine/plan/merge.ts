import { GantryError } from "../../model/errors.ts";
import { shortId } from "../../model/ids.ts";
import type { InstanceConfig, InstanceRecord } from "../../model/instance.ts";
import type { ImageConfig } from "../../model/oci.ts";
import { signalName } from "../signals.ts";

/** What will run: the user's configuration laid over the image's, by Docker's rules. */
export interface Effective {
  args: string[];
  env: string[];
  workdir: string;
  user: string;
  hostname: string;
  stopSignal: string;
  exposedPorts: string[];
  labels: Record<string, string>;
}

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Throws `invalid` when nothing would run, or for a relative working folder or an unknown stop signal. */
export function merge(instance: Pick<InstanceRecord, "id" | "config">, image: ImageConfig): Effective {
  const { config } = instance;
  const defaults = image.config ?? {};
  const hostname = checkHostname(config.hostname || shortId(instance.id));
  return {
    args: mergeArgs(config, image).map((argument) => noNul("argument", argument)),
    env: mergeEnv(
      [defaultPath, `HOSTNAME=${hostname}`, ...(config.tty ? ["TERM=xterm"] : [])],
      defaults.Env ?? [],
      config.env,
    ).map((entry) => noNul("environment variable", entry)),
    workdir: mergeWorkdir(config.workdir, defaults.WorkingDir),
    user: config.user ?? defaults.User ?? "",
    hostname,
    stopSignal: signalName(config.stopSignal || defaults.StopSignal || "SIGTERM"),
    exposedPorts: [
      ...new Set([
        ...Object.keys(defaults.ExposedPorts ?? {}).map((port) =>
          port.includes("/") ? port : `${port}/tcp`,
        ),
        ...config.ports.map((port) => `${port.containerPort}/${port.protocol}`),
      ]),
    ],
    labels: { ...(defaults.Labels ?? {}), ...config.labels },
  };
}

/** It stands in /etc/hosts and is given to the kernel, which takes 64 bytes. */
function checkHostname(hostname: string): string {
  if (!/^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,63}$/.test(hostname))
    throw new GantryError(
      "invalid",
      `hostname ${JSON.stringify(hostname.slice(0, 128))} is not usable: letters, digits, "-", "_" and ".", at most 64`,
    );
  return hostname;
}

function noNul(what: string, text: string): string {
  if (text.includes("\0"))
    throw new GantryError("invalid", `${what} ${JSON.stringify(text.slice(0, 64))} holds a NUL byte`);
  return text;
}

/** A user's entrypoint drops the image's command with the image's entrypoint. */
export function mergeArgs(
  config: Pick<InstanceConfig, "entrypoint" | "command">,
  image: ImageConfig,
): string[] {
  const own = config.entrypoint !== undefined;
  const entrypoint = config.entrypoint ?? image.config?.Entrypoint ?? [];
  const command =
    config.command && config.command.length > 0 ? config.command : own ? [] : (image.config?.Cmd ?? []);
  const args = [...entrypoint, ...command];
  if (args.length === 0 || args[0] === "")
    throw new GantryError("invalid", "no command to run: the image names none, give one after the image");
  return args;
}

/** Later lists win by name, in the place of the earlier entry; a name without "=" takes the variable away. */
export function mergeEnv(...lists: readonly string[][]): string[] {
  const merged = new Map<string, string>();
  for (const entry of lists.flat()) {
    const at = entry.indexOf("=");
    if (at < 0) merged.delete(entry);
    else if (at > 0) merged.set(entry.slice(0, at), entry);
  }
  return [...merged.values()];
}

function mergeWorkdir(own: string | undefined, image: string | undefined): string {
  if (own && !own.startsWith("/"))
    throw new GantryError(
      "invalid",
      `working folder ${JSON.stringify(own)} is not absolute: begin it with "/"`,
    );
  const folder = own || image || "/";
  return folder.startsWith("/") ? folder : `/${folder}`;
}
