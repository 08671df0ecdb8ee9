import { existsSync, lstatSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, posix, resolve } from "node:path";
import type { Api } from "../../client/api.ts";
import { bool, command, UsageError } from "../command.ts";
import { bare, meansContent, mustBeFolder, parseSide, place, type Side } from "../copy/names.ts";
import { follow, isFolder, remoteTarget } from "../copy/remote.ts";
import { standardInput } from "../input.ts";
import { complain, print } from "../stdio.ts";
import { createTar, extractTar } from "../tar/process.ts";
import { renamer } from "../tar/rename.ts";
import { rewriteTar } from "../tar/rewrite.ts";

interface Options {
  archive: boolean;
  followLink: boolean;
}
type Inside = Extract<Side, { kind: "instance" }>;

const leftOut = (name: string, why: string): void => complain(`gantry: ${name} was left out: ${why}\n`);

async function download(api: Api, from: Inside, to: Exclude<Side, Inside>, options: Options): Promise<void> {
  const content = meansContent(from.path);
  let path = bare(from.path);
  const name = basename(path);
  if (options.followLink || mustBeFolder(from.path)) {
    const found = await follow(api, from.reference, path);
    if (!found) throw new UsageError(`${from.reference}:${path} does not exist`);
    if (mustBeFolder(from.path) && !isFolder(found.stat))
      throw new UsageError(`${from.reference}:${path} is not a folder`);
    path = found.path;
  }
  const { stat, tar } = await api.readArchive(from.reference, path);
  if (to.kind === "stdio") {
    for await (const piece of tar) await print(piece);
    return;
  }
  const local = statSync(to.path, { throwIfNoEntry: false });
  const source = { name, folder: isFolder(stat), content: content || path === "/" };
  const placement = place(source, to.path, {
    exists: local !== undefined,
    folder: local?.isDirectory() ?? false,
  });
  if (typeof placement === "string") throw new UsageError(placement);
  if (!existsSync(placement.folder)) throw new UsageError(`the folder ${placement.folder} does not exist`);
  const rules = { base: basename(path), to: placement.name, archive: options.archive, leftOut };
  await extractTar(resolve(placement.folder), rewriteTar(tar, renamer(rules)), options.archive);
}

async function upload(api: Api, from: Exclude<Side, Inside>, to: Inside, options: Options): Promise<void> {
  const target = await remoteTarget(api, to.reference, bare(to.path));
  if (from.kind === "stdio") {
    if (!target.folder)
      throw new UsageError(`${to.reference}:${to.path} is not a folder: a tar stream is unpacked into one`);
    if (process.stdin.isTTY) throw new UsageError("standard input is a terminal, not a tar stream");
    return api.writeArchive(to.reference, target.path, standardInput());
  }
  const content = meansContent(from.path);
  let path = resolve(bare(from.path));
  if (!lstatSync(path, { throwIfNoEntry: false })) throw new UsageError(`${from.path} does not exist`);
  const name = basename(path);
  if (options.followLink || mustBeFolder(from.path)) path = realpathSync(path);
  const folder = lstatSync(path).isDirectory();
  if (mustBeFolder(from.path) && !folder) throw new UsageError(`${from.path} is not a folder`);
  const wanted = mustBeFolder(to.path) ? `${target.path}/` : target.path;
  const placement = place({ name, folder, content }, wanted, target);
  if (typeof placement === "string") throw new UsageError(`${to.reference}: ${placement}`);
  if (!target.exists || !target.folder) {
    const parent = await remoteTarget(api, to.reference, posix.resolve("/", placement.folder));
    if (!parent.folder)
      throw new UsageError(`${to.reference}: the folder ${placement.folder} does not exist`);
    placement.folder = parent.path;
  }
  const rules = { base: basename(path), to: placement.name, archive: options.archive, leftOut };
  const tar = rewriteTar(createTar(dirname(path), basename(path), options.archive), renamer(rules));
  await api.writeArchive(to.reference, placement.folder, tar);
}

export default command({
  usage: "[flags] INSTANCE:PATH PATH|-  or  PATH|- INSTANCE:PATH",
  about:
    "Copies files between an instance, running or not, and this host. A folder goes with all below it;\n" +
    'FOLDER/. means what is in it; "-" is a tar stream on standard input or output.',
  flags: {
    archive: bool("Keep owners, and setuid and setgid bits", { short: "a" }),
    "follow-link": bool("Copy what a symbolic link leads to", { short: "L" }),
    quiet: bool("Accepted for old habits", { short: "q" }),
  },
  later: { overwrite: "" },
  args: [2, 2],
  examples: [
    ["gantry cp web:/etc/nginx ./nginx", "A folder out of it"],
    ["gantry cp ./site/. web:/srv", "What is in a folder into another"],
    ["gantry cp web:/var/log - | tar -t", "As a tar stream"],
  ],
  async run({ api }, [from, to], flags) {
    const options = { archive: flags.archive ?? false, followLink: flags["follow-link"] ?? false };
    const source = parseSide(from!);
    const target = parseSide(to!);
    if (source.kind === "instance" && target.kind === "instance")
      throw new UsageError(
        "copying from one instance to another is not supported yet: go by way of this host",
      );
    if (source.kind === "instance" && target.kind !== "instance")
      await download(api, source, target, options);
    else if (target.kind === "instance" && source.kind !== "instance")
      await upload(api, source, target, options);
    else throw new UsageError("one side must be in an instance: INSTANCE:PATH");
    return 0;
  },
});
