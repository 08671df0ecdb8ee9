import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { bashScript } from "./completion/bash.ts";
import { fishScript } from "./completion/fish.ts";
import { completedCommands } from "./completion/model.ts";
import { zshScript } from "./completion/zsh.ts";
import { commandHelp, overview } from "./help.ts";
import { distance, nearest } from "./nearest.ts";
import { findCommand, table } from "./table.ts";

describe("every command", () => {
  test.each(Object.keys(table))("%s has a help with examples of itself", async (name) => {
    const { default: command } = await table[name]!.load();
    const help = commandHelp(name, command);
    expect(help).toContain(`Usage: gantry ${name}`);
    expect(command.examples.length).toBeGreaterThanOrEqual(2);
    expect(command.examples.every(([line]) => line.includes("gantry "))).toBe(true);
    for (const [flag, { help: text, hidden }] of Object.entries(command.flags))
      if (!hidden) {
        expect(help).toContain(`--${flag}`);
        expect(text.length).toBeGreaterThan(3);
      }
  });

  test.each(Object.keys(table))("%s has no short flag twice", async (name) => {
    const { default: command } = await table[name]!.load();
    const shorts = Object.values(command.flags).flatMap(({ short }) => short ?? []);
    expect(new Set(shorts).size).toBe(shorts.length);
    for (const flag of Object.keys(command.later ?? {})) {
      expect(Object.keys(command.flags)).not.toContain(flag);
      expect(shorts).not.toContain(flag);
    }
  });

  test("stands in the overview, but for aliases", () => {
    const text = overview();
    for (const [name, entry] of Object.entries(table)) if (!entry.alias) expect(text).toContain(`  ${name} `);
  });
});

test("commands are found by their words", () => {
  expect(findCommand(["ps", "-a"])).toMatchObject({ name: "ps", used: 1 });
  expect(findCommand(["image", "ls"])).toMatchObject({ name: "image ls", used: 2 });
  expect(findCommand(["container", "run", "x"])).toMatchObject({ name: "run", used: 2 });
  expect(findCommand(["container", "ls"])).toMatchObject({ name: "ps", used: 2 });
  expect(findCommand(["volume"])).toBeUndefined();
  expect(findCommand(["constructor"])).toBeUndefined();
  expect(findCommand(["toString"])).toBeUndefined();
});

test("near words are found", () => {
  expect(distance("rnu", "run")).toBe(1);
  expect(nearest("inspetc", Object.keys(table))).toBe("inspect");
  expect(nearest("xyzzy", Object.keys(table))).toBeUndefined();
});

describe("completion scripts", () => {
  const parses = (shell: string, script: string): void => {
    const result = spawnSync(shell, ["-n", "/dev/stdin"], { input: script, encoding: "utf8" });
    if ((result.error as NodeJS.ErrnoException | undefined)?.code === "ENOENT") return;
    expect(result.stderr).toBe("");
    expect(result.status).toBe(0);
  };
  test("parse in their shells, where those are installed", async () => {
    const commands = await completedCommands();
    parses("bash", bashScript(commands));
    parses("zsh", zshScript(commands));
    parses("fish", fishScript(commands));
  });

  const complete = async (...words: string[]): Promise<string[]> => {
    const script = `${bashScript(await completedCommands())}
gantry() { :; }
COMP_WORDS=(${words.map((w) => `'${w}'`).join(" ")}); COMP_CWORD=${words.length - 1}
_gantry; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const result = spawnSync("bash", ["--norc"], { input: script, encoding: "utf8" });
    expect(result.stderr).toBe("");
    return result.stdout.trim().split("\n");
  };
  test("complete in bash", async () => {
    expect(await complete("gantry", "unp")).toEqual(["unpause"]);
    expect(await complete("gantry", "image", "boo")).toEqual(["bootstrap"]);
    expect(await complete("gantry", "run", "--isol")).toEqual(["--isolation"]);
    expect(await complete("gantry", "run", "--isolation", "v")).toEqual(["vm"]);
    expect(await complete("gantry", "--root", "/x", "run", "--netw")).toEqual(["--network"]);
    expect(await complete("gantry", "volume", "prune", "--fo")).toEqual(["--force"]);
  });
});
