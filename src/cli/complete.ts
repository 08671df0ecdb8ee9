import type { Context } from "./command.ts";
import { print } from "./stdio.ts";

const limit = 500;

async function namesOf({ api }: Context, kind: string): Promise<string[]> {
  switch (kind) {
    case "instance":
    case "running":
      return (await api.list({ all: kind === "instance" })).map((view) => view.name);
    case "image":
      return (await api.images()).flatMap(({ name }) =>
        name === undefined ? [] : [name, name.replace(/^localhost\//, "")],
      );
    case "volume":
      return (await api.volumes()).filter((v) => !v.anonymous).map((v) => v.name);
    default:
      return [];
  }
}

/** What the completion scripts ask for: names of a kind, one a line; nothing when no engine answers. */
export async function complete(context: Context, words: readonly string[]): Promise<void> {
  const { existsSync } = await import("node:fs");
  if (!existsSync(context.paths.socket)) return; // completing must not start an engine
  const names = await namesOf(context, words[0] ?? "").catch(() => []);
  await print(
    names
      .slice(0, limit)
      .map((name) => `${name}\n`)
      .join(""),
  );
}
