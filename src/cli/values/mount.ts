import { existsSync } from "node:fs";
import { posix, resolve } from "node:path";
import type { Mount } from "../../model/instance.ts";
import { UsageError } from "../command.ts";
import { parseSize } from "./size.ts";

/** Options that say what holds here anyway. */
const harmless = new Set([
  "",
  "rw",
  "cached",
  "delegated",
  "consistent",
  "private",
  "rprivate",
  "rbind",
  "bind",
]);
const volumeName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

function checkTarget(flag: string, target: string): string {
  if (!target.startsWith("/"))
    throw new UsageError(`${flag}: ${JSON.stringify(target)} is not an absolute path`);
  const clean = posix.normalize(target).replace(/(.)\/+$/, "$1");
  if (clean === "/") throw new UsageError(`${flag}: the root folder cannot be a mount's target`);
  return clean;
}

interface VolumeOptions {
  readOnly: boolean;
  noCopy: boolean;
}

function options(flag: string, text: string | undefined): VolumeOptions {
  const result: VolumeOptions = { readOnly: false, noCopy: false };
  for (const option of (text ?? "").split(",")) {
    if (option === "ro") result.readOnly = true;
    else if (option === "nocopy") result.noCopy = true;
    else if (option === "z" || option === "Z") {
      if (existsSync("/sys/fs/selinux/enforce"))
        throw new UsageError(
          `${flag}: relabelling for SELinux (${JSON.stringify(option)}) is not supported yet`,
        );
    } else if (/^r?(shared|slave)$|^U$|^O$|^idmap/.test(option))
      throw new UsageError(`${flag}: the option ${JSON.stringify(option)} is not supported yet`);
    else if (!harmless.has(option))
      throw new UsageError(`${flag}: unknown option ${JSON.stringify(option)}; known: ro, rw, nocopy, z, Z`);
  }
  return result;
}

/** `-v SOURCE:TARGET[:OPTIONS]`, with a folder, a file or a volume's name, or `-v TARGET` for an anonymous volume. */
export function parseVolume(text: string, cwd = process.cwd()): Mount {
  const flag = `-v ${text}`;
  const parts = text.split(":");
  if (parts.length > 3 || text === "")
    throw new UsageError(`-v takes [SOURCE:]TARGET[:OPTIONS], not ${JSON.stringify(text)}`);
  if (parts.length === 1)
    return { type: "volume", target: checkTarget(flag, text), readOnly: false, noCopy: false };
  const [source, rawTarget, rawOptions] = parts as [string, string, string | undefined];
  const target = checkTarget(flag, rawTarget);
  const { readOnly, noCopy } = options(flag, rawOptions);
  if (source.startsWith("/") || source === "." || source === ".." || /^\.\.?\//.test(source))
    return { type: "bind", source: resolve(cwd, source), target, readOnly, createSource: true };
  if (!volumeName.test(source))
    throw new UsageError(
      `${flag}: ${JSON.stringify(source)} is neither a path (start it with / or ./) nor a volume's name`,
    );
  return { type: "volume", source, target, readOnly, noCopy };
}

/** `--tmpfs TARGET[:size=64m,mode=1777,…]`. */
export function parseTmpfs(text: string): Mount {
  const flag = `--tmpfs ${text}`;
  const colon = text.indexOf(":");
  const target = checkTarget(flag, colon < 0 ? text : text.slice(0, colon));
  const mount: Mount = { type: "tmpfs", target, options: [] };
  for (const option of colon < 0 ? [] : text.slice(colon + 1).split(",")) {
    if (option === "" || option === "rw") continue;
    const [name, setting] = option.split("=", 2);
    if (name === "size" && setting !== undefined) mount.size = parseSize(flag, setting);
    else if (name === "mode" && setting !== undefined && /^0?[0-7]{1,4}$/.test(setting))
      mount.mode = Number.parseInt(setting, 8);
    else if (
      /^(uid|gid)=\d{1,10}$/.test(option) ||
      /^(ro|noexec|exec|nosuid|suid|nodev|dev|noatime)$/.test(option)
    )
      mount.options.push(option);
    else
      throw new UsageError(
        `${flag}: unknown option ${JSON.stringify(option)}; known: size=, mode=, uid=, gid=, ro, rw, exec, noexec, suid, nosuid, dev, nodev`,
      );
  }
  return mount;
}

/** Throws when two mounts have one target. */
export function checkTargets(mounts: readonly Mount[]): void {
  const seen = new Set<string>();
  for (const { target } of mounts) {
    if (seen.has(target)) throw new UsageError(`two mounts have the target ${target}`);
    seen.add(target);
  }
}
