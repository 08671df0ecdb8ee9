import type { Command, Completes } from "./command.ts";

/** A command as the dispatcher, the help and the completions know it without loading it. */
export interface Entry {
  group: Group;
  summary: string;
  /** What its positional arguments are. */
  completes: Completes;
  /** Left out of `gantry --help`: it stands under another name there. */
  alias?: boolean;
  load(): Promise<{ default: Command }>;
}

export const groups = ["Run", "Look", "Change", "Images", "Volumes", "Engine"] as const;
export type Group = (typeof groups)[number];

const entry = (
  group: Group,
  completes: Completes,
  summary: string,
  load: Entry["load"],
  alias = false,
): Entry => ({ group, completes, summary, load, alias });

const images = () => import("./commands/images.ts");
const rmi = () => import("./commands/rmi.ts");
const tag = () => import("./commands/tag.ts");
const importImage = () => import("./commands/import.ts");
const load = () => import("./commands/load.ts");
const save = () => import("./commands/save.ts");
const imageInspect = () => import("./commands/image-inspect.ts");

/** Every command. A name of two words is a verb of a noun. */
export const table: Readonly<Record<string, Entry>> = {
  run: entry(
    "Run",
    "image",
    "Create an instance of an image and start it",
    () => import("./commands/run.ts"),
  ),
  create: entry(
    "Run",
    "image",
    "Create an instance without starting it",
    () => import("./commands/create.ts"),
  ),
  start: entry("Run", "instance", "Start stopped instances", () => import("./commands/start.ts")),
  stop: entry("Run", "running", "Stop running instances", () => import("./commands/stop.ts")),
  restart: entry("Run", "instance", "Stop and start instances", () => import("./commands/restart.ts")),
  kill: entry("Run", "running", "Send a signal to instances", () => import("./commands/kill.ts")),
  pause: entry("Run", "running", "Freeze the processes of instances", () => import("./commands/pause.ts")),
  unpause: entry("Run", "running", "Thaw paused instances", () => import("./commands/unpause.ts")),
  exec: entry("Run", "running", "Run a process in a running instance", () => import("./commands/exec.ts")),
  attach: entry(
    "Run",
    "running",
    "Attach to an instance's first process",
    () => import("./commands/attach.ts"),
  ),
  wait: entry(
    "Run",
    "instance",
    "Wait until instances end; print their exit codes",
    () => import("./commands/wait.ts"),
  ),
  rm: entry("Run", "instance", "Remove instances", () => import("./commands/rm.ts")),
  ps: entry("Look", "none", "List instances", () => import("./commands/ps.ts")),
  logs: entry("Look", "instance", "Show an instance's output", () => import("./commands/logs.ts")),
  inspect: entry(
    "Look",
    "instance",
    "Show everything about instances, images or volumes",
    () => import("./commands/inspect.ts"),
  ),
  stats: entry("Look", "running", "Show what instances use, live", () => import("./commands/stats.ts")),
  port: entry("Look", "instance", "Show an instance's published ports", () => import("./commands/port.ts")),
  events: entry("Look", "none", "Show what happens, live", () => import("./commands/events.ts")),
  cp: entry("Change", "instance", "Copy files into and out of instances", () => import("./commands/cp.ts")),
  rename: entry("Change", "instance", "Give an instance another name", () => import("./commands/rename.ts")),
  images: entry("Images", "none", "List images", images),
  "image bootstrap": entry(
    "Images",
    "none",
    "Make an image from a distribution's packages",
    () => import("./commands/image-bootstrap.ts"),
  ),
  import: entry("Images", "file", "Make an image from a root file system's tar", importImage),
  load: entry("Images", "none", "Load images from an archive", load),
  save: entry("Images", "image", "Save images as an archive", save),
  tag: entry("Images", "image", "Give an image a further name", tag),
  rmi: entry("Images", "image", "Remove images", rmi),
  "image ls": entry("Images", "none", "List images", images, true),
  "image inspect": entry("Images", "image", "Show everything about images", imageInspect),
  "image import": entry("Images", "file", "Make an image from a root file system's tar", importImage, true),
  "image load": entry("Images", "none", "Load images from an archive", load, true),
  "image save": entry("Images", "image", "Save images as an archive", save, true),
  "image tag": entry("Images", "image", "Give an image a further name", tag, true),
  "image rm": entry("Images", "image", "Remove images", rmi, true),
  "volume create": entry("Volumes", "none", "Create a volume", () => import("./commands/volume-create.ts")),
  "volume ls": entry("Volumes", "none", "List volumes", () => import("./commands/volume-ls.ts")),
  "volume inspect": entry(
    "Volumes",
    "volume",
    "Show everything about volumes",
    () => import("./commands/volume-inspect.ts"),
  ),
  "volume rm": entry("Volumes", "volume", "Remove volumes", () => import("./commands/volume-rm.ts")),
  "volume prune": entry(
    "Volumes",
    "none",
    "Remove volumes that nothing uses",
    () => import("./commands/volume-prune.ts"),
  ),
  info: entry(
    "Engine",
    "none",
    "Show the engine, the host and its walls",
    () => import("./commands/info.ts"),
  ),
  doctor: entry(
    "Engine",
    "none",
    "Find what is wrong on this host and how to cure it",
    () => import("./commands/doctor.ts"),
  ),
  version: entry("Engine", "none", "Show the version", () => import("./commands/version.ts")),
  daemon: entry("Engine", "none", "Run the engine in the foreground", () => import("./commands/daemon.ts")),
  completion: entry(
    "Engine",
    "none",
    "Print the completion script of a shell",
    () => import("./commands/completion.ts"),
  ),
};

/** Other words for the same. */
const synonyms: Readonly<Record<string, string>> = {
  "image list": "image ls",
  "image remove": "image rm",
  "volume list": "volume ls",
  "volume remove": "volume rm",
  "container ls": "ps",
  "container list": "ps",
  "container ps": "ps",
  "container remove": "rm",
};

/** First words that are nouns: the next word is their verb. */
export const nouns: ReadonlySet<string> = new Set(["image", "volume", "container"]);

/** Finds the command that a command line begins with. */
export function findCommand(
  argv: readonly string[],
): { name: string; entry: Entry; used: number } | undefined {
  const [first, second] = argv;
  if (first === undefined) return undefined;
  if (!nouns.has(first)) {
    const found = Object.hasOwn(table, first) ? table[first] : undefined;
    return found && { name: first, entry: found, used: 1 };
  }
  const spelled = `${first} ${second ?? ""}`;
  const name = synonyms[spelled] ?? (first === "container" ? (second ?? "") : spelled);
  const found =
    Object.hasOwn(table, name) && !(first === "container" && nouns.has(name)) ? table[name] : undefined;
  return found && { name, entry: found, used: 2 };
}
