import { spawn } from "node:child_process";
import { readFile, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "../lib/exec.ts";
import { GantryError } from "../model/errors.ts";
import type { Progress } from "../ports/image.ts";
import { defaultMirrors, hostMirrors, sourcesFor } from "./apt-sources.ts";
import { failure } from "./failure.ts";
import type { OneLayer } from "./import.ts";
import { tarHeader } from "./tar-write.ts";

/** Bytes that the smallest system takes while it is made: its tree, the layer's blob and the unpacked layer. */
const leastSpace = 900 << 20;
const fallbackSuite = "bookworm";
const suitePattern = /^[a-z][a-z0-9.-]{0,39}$/;
const packagePattern = /^[a-z0-9][a-z0-9.+-]{0,99}$/;

async function hostRelease(): Promise<{ id: string; codename: string }> {
  const text = await readFile("/etc/os-release", "utf8").catch(() => "");
  const field = (key: string) => new RegExp(`^${key}="?([^"\\n]*)"?$`, "m").exec(text)?.[1] ?? "";
  return { id: field("ID"), codename: field("VERSION_CODENAME") };
}

/** The release that `debian` alone means: the host's own when it runs Debian. */
export async function defaultSuite(): Promise<string> {
  const { id, codename } = await hostRelease();
  return id === "debian" && codename !== "" ? codename : fallbackSuite;
}

/** How the host's apt reaches mirrors: proxies and the checks it was told to leave out. */
async function aptOptions(): Promise<string[]> {
  const { stdout } = await exec(["apt-config", "dump", "--format", "%F %v%n", "Acquire"]);
  const wanted =
    /^Acquire::(?:(?:https?|ftp)::(?:Proxy\S*|CaInfo)|Check-Valid-Until|Check-Date|ForceIPv[46]) (.+)$/i;
  return stdout
    .split("\n")
    .filter((line) => wanted.test(line) && !line.includes('"'))
    .map((line) => {
      const space = line.indexOf(" ");
      return `${line.slice(0, space)} "${line.slice(space + 1)}"`;
    });
}

/** Files that tell of this host, not of the distribution. `$1` is the tree. */
const tidy = [
  'rm -f "$1/etc/resolv.conf" "$1/etc/hostname" "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap"',
  'rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/cache/debconf/*-old "$1"/var/lib/dpkg/*-old',
  'find "$1/var/log" -type f -exec truncate -s 0 {} +',
].join(" && ");

/**
 * A minimal Debian root file system by mmdebstrap, from the mirrors that this host uses, as a tar stream.
 * Throws `invalid` for a bad suite or package name, `unavailable` without mmdebstrap; the stream throws `unavailable`
 * with what went wrong when packages cannot be had, `exhausted` on a full disk.
 */
export async function debian(
  suite: string,
  include: readonly string[],
  folder: string,
  progress?: Progress,
): Promise<{ tar: AsyncIterable<Uint8Array>; about: OneLayer }> {
  if (!suitePattern.test(suite))
    throw new GantryError(
      "invalid",
      `Debian suite ${JSON.stringify(suite)} is malformed; write a name like bookworm`,
    );
  for (const name of include)
    if (!packagePattern.test(name))
      throw new GantryError("invalid", `package name ${JSON.stringify(name)} is malformed`);
  // apt hangs on a full disk rather than fail, so the space is looked at first.
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < leastSpace)
    throw new GantryError(
      "exhausted",
      `bootstrapping Debian needs about ${leastSpace >> 20} MiB of space, and ${folder} has ${Math.floor((bavail * bsize) / (1 << 20))} MiB: free some, or choose another folder with --root`,
    );
  const { id, codename } = await hostRelease();
  const mirrors = (id === "debian" ? await hostMirrors(codename) : undefined) ?? defaultMirrors;
  const sources = join(folder, "debian.sources");
  await writeFile(sources, sourcesFor(suite, mirrors));
  const argv = [
    "--mode=root",
    "--variant=minbase",
    "--format=tar",
    // Device nodes are the runtime's to make; the folder itself is added back below.
    "--skip=output/dev",
    // The tree is thrown away if anything fails: dpkg need not sync every file.
    "--dpkgopt=force-unsafe-io",
    ...(await aptOptions()).map((option) => `--aptopt=${option}`),
    ...(include.length > 0 ? [`--include=${include.join(",")}`] : []),
    `--customize-hook=${tidy}`,
    suite,
    "-",
    sources,
  ];
  return {
    tar: (async function* () {
      const mtime = Math.floor(Date.now() / 1000);
      yield tarHeader({ name: "dev/", type: "folder", mtime });
      yield* run(argv, suite, folder, progress);
    })(),
    about: {
      settings: {
        Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        Cmd: ["bash"],
      },
      createdBy: `gantry image bootstrap debian:${suite}${include.length > 0 ? ` --include ${include.join(",")}` : ""}`,
      created: new Date(),
    },
  };
}

const stepPattern =
  /^I: ((?:running apt-get update|downloading|extracting|installing|cleaning|creating)[\w ,-]{0,80})/;
const outputLimit = 64 << 10;

/**
 * Processes and mounts of its own: ended midway, it would leave both behind, for it waits for its apt for ever.
 * They are gone with the wrapper, and that with the engine.
 */
const wrapper = [
  ...["--pdeathsig", "KILL"],
  ...[
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--",
  ],
];

async function* run(
  argv: string[],
  suite: string,
  folder: string,
  progress?: Progress,
): AsyncGenerator<Uint8Array> {
  const env = { ...process.env, TMPDIR: folder, LC_ALL: "C.UTF-8", DEBIAN_FRONTEND: "noninteractive" };
  const child = spawn("setpriv", [...wrapper, "mmdebstrap", ...argv], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let said = "";
  let line = "";
  child.stderr.on("data", (part: Buffer) => {
    said = (said + part.toString("utf8")).slice(-outputLimit);
    line = (line + part.toString("utf8")).slice(-outputLimit);
    const lines = line.split(/[\r\n]/);
    line = lines.pop() ?? "";
    for (const text of lines) {
      const [, step] = stepPattern.exec(text) ?? [];
      if (step !== undefined) progress?.({ step });
    }
  });
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        error.code === "ENOENT"
          ? new GantryError("unavailable", "setpriv is not installed; run ./scripts/setup")
          : error,
      ),
    );
    child.once("close", (status) => resolve(status ?? 128));
  });
  ended.catch(() => {});
  let running = true;
  try {
    for await (const part of child.stdout) yield part as Uint8Array;
    const status = await ended;
    running = false;
    if (status !== 0) throw complaint(suite, said);
  } finally {
    if (running && child.pid !== undefined) {
      child.kill("SIGKILL");
      child.stdout.resume();
      await ended.catch(() => {});
    }
  }
}

/** What mmdebstrap's output comes to in one line. */
function complaint(suite: string, said: string): GantryError {
  if (said.includes("failed to execute mmdebstrap"))
    return new GantryError("unavailable", "mmdebstrap is not installed; run ./scripts/setup");
  const lines = said
    .split("\n")
    .filter(
      (text) =>
        /^(E|W|Err|dpkg: error)\b/.test(text) &&
        !/apt-get .* failed|setup failed|performed unsandboxed/.test(text),
    );
  const missing = /Unable to locate package (\S+)/.exec(said)?.[1];
  if (missing !== undefined)
    return new GantryError("not_found", `Debian ${suite} has no package ${missing}; check --include`);
  const why = lines.slice(0, 2).join(" / ") || said.trim().split("\n").slice(-2).join(" / ");
  const what = `bootstrapping Debian ${suite}`;
  const full = failure(what, new Error(said));
  if (full.code === "exhausted") return full;
  return new GantryError(
    "unavailable",
    `${what} failed: ${why.slice(0, 500)}; check the suite's name and the apt sources`,
  );
}
