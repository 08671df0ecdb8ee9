import { readFile, stat } from "node:fs/promises";
import { exec } from "../lib/exec.ts";
import { GantryError } from "../model/errors.ts";
import type { OneLayer } from "./import.ts";
import { tarEnd, tarFile, tarHeader } from "./tar-write.ts";

const places = ["/bin/busybox", "/usr/bin/busybox"];

const folders: [string, number][] = [
  ["bin", 0o755],
  ["dev", 0o755],
  ["etc", 0o755],
  ["home", 0o755],
  ["proc", 0o755],
  ["root", 0o700],
  ["run", 0o755],
  ["sys", 0o755],
  ["tmp", 0o1777],
  ["usr", 0o755],
  ["usr/bin", 0o755],
  ["usr/sbin", 0o755],
  ["var", 0o755],
  ["var/spool", 0o755],
  ["var/spool/mail", 0o755],
  ["var/tmp", 0o1777],
  ["var/www", 0o755],
];

const people = [
  ["root", 0, "/root", "/bin/sh"],
  ["daemon", 1, "/usr/sbin", "/bin/false"],
  ["bin", 2, "/bin", "/bin/false"],
  ["sys", 3, "/dev", "/bin/false"],
  ["sync", 100, "/bin", "/bin/sync"],
  ["mail", 8, "/var/spool/mail", "/bin/false"],
  ["www-data", 33, "/var/www", "/bin/false"],
  ["operator", 37, "/var", "/bin/false"],
  ["nobody", 65534, "/home", "/bin/false"],
] as const;

const groups: [string, number][] = [
  ["root", 0],
  ["daemon", 1],
  ["bin", 2],
  ["sys", 3],
  ["adm", 4],
  ["tty", 5],
  ["disk", 6],
  ["mail", 8],
  ["wheel", 10],
  ["kmem", 15],
  ["dialout", 18],
  ["audio", 29],
  ["www-data", 33],
  ["utmp", 43],
  ["video", 44],
  ["users", 100],
  ["nobody", 65534],
];

const files: [string, number, string][] = [
  [
    "etc/passwd",
    0o644,
    people.map(([n, id, home, sh]) => `${n}:x:${id}:${id}:${n}:${home}:${sh}\n`).join(""),
  ],
  ["etc/group", 0o644, groups.map(([name, id]) => `${name}:x:${id}:\n`).join("")],
  ["etc/shadow", 0o640, people.map(([name]) => `${name}:*::0:::::\n`).join("")],
  ["etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"],
];

/** The root file system around one static busybox: every applet is a hard link in /bin. The same binary gives the same bytes. */
function* tree(binary: Buffer, applets: readonly string[], mtime: number): Generator<Uint8Array> {
  for (const [name, mode] of folders) yield tarHeader({ name: `${name}/`, type: "folder", mode, mtime });
  yield* tarFile({ name: "bin/busybox", mode: 0o755, mtime }, binary);
  for (const applet of applets)
    if (applet !== "busybox")
      yield tarHeader({ name: `bin/${applet}`, type: "link", link: "bin/busybox", mode: 0o755, mtime });
  // Scripts begin with #!/usr/bin/env.
  yield tarHeader({ name: "usr/bin/env", type: "symlink", link: "../../bin/env", mtime });
  for (const [name, mode, content] of files) yield* tarFile({ name, mode, mtime }, content);
  yield tarEnd();
}

/** A busybox image from the host's busybox-static package. Throws `unavailable` when it is missing or not static. */
export async function busybox(): Promise<{ tar: AsyncIterable<Uint8Array>; about: OneLayer }> {
  for (const path of places) {
    const facts = await stat(path).catch(() => undefined);
    if (!facts?.isFile()) continue;
    const binary = await readFile(path);
    // PT_INTERP names a dynamic program's loader.
    if (binary.includes("/ld-linux")) continue;
    const applets = (await exec([path, "--list"])).stdout
      .split("\n")
      .filter((name) => /^[A-Za-z0-9_.[+-]+$/.test(name));
    const mtime = Math.floor(facts.mtimeMs / 1000);
    return {
      tar: (async function* () {
        yield* tree(binary, applets, mtime);
      })(),
      about: {
        settings: {
          Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
          Cmd: ["sh"],
        },
        createdBy: "gantry image bootstrap busybox",
        created: new Date(mtime * 1000),
      },
    };
  }
  throw new GantryError(
    "unavailable",
    "no static busybox was found in /bin or /usr/bin; install the Debian package busybox-static",
  );
}
