import { type CompletedCommand, firstWords, isFixed } from "./model.ts";

const quote = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

/** The completion script for fish. */
export function fishScript(commands: readonly CompletedCommand[]): string {
  const lines = [
    "# Completion of gantry for fish: gantry completion fish > ~/.config/fish/completions/gantry.fish",
    "complete -c gantry -f",
  ];
  const nouns = [...new Set(commands.filter((c) => c.name.includes(" ")).map((c) => c.name.split(" ")[0]!))];
  for (const [word, summary] of firstWords(commands))
    lines.push(`complete -c gantry -n __fish_use_subcommand -a ${word} -d ${quote(summary)}`);
  for (const c of commands) {
    const [first, second] = c.name.split(" ") as [string, string | undefined];
    let when = `__fish_seen_subcommand_from ${first}`;
    if (second !== undefined) {
      const verbs = commands.filter((o) => o.name.startsWith(`${first} `)).map((o) => o.name.split(" ")[1]);
      lines.push(
        `complete -c gantry -n ${quote(`${when}; and not __fish_seen_subcommand_from ${verbs.join(" ")}`)} -a ${second} -d ${quote(c.summary)}`,
      );
      when += `; and __fish_seen_subcommand_from ${second}`;
    } else if (nouns.length > 0) when += `; and not __fish_seen_subcommand_from ${nouns.join(" ")}`;
    for (const [name, flag] of c.flags) {
      const values = isFixed(flag.completes)
        ? ` -x -a ${quote(flag.completes.join(" "))}`
        : flag.kind === "bool"
          ? ""
          : " -r";
      lines.push(
        `complete -c gantry -n ${quote(when)}${flag.short ? ` -s ${flag.short}` : ""} -l ${name}${values} -d ${quote(flag.help)}`,
      );
    }
    if (c.completes === "file") lines.push(`complete -c gantry -n ${quote(when)} -F`);
    else if (c.completes !== "none")
      lines.push(
        `complete -c gantry -n ${quote(when)} -a ${quote(`(gantry __complete ${c.completes} 2>/dev/null)`)}`,
      );
  }
  return `${lines.join("\n")}\n`;
}
