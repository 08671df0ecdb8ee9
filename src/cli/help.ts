import type { Command, Flag } from "./command.ts";
import { groups, table } from "./table.ts";

const globalFlags: [string, string][] = [
  ["--root FOLDER", "Where the engine keeps its things (GANTRY_ROOT, /var/lib/gantry)"],
  ["--run FOLDER", "Where its sockets are (GANTRY_RUN, /run/gantry)"],
  ["--project NAME", "The project to work in (GANTRY_PROJECT, default)"],
  ["-v, --version", "Show the version"],
];

function columns(rows: readonly (readonly [string, string])[], indent = "  "): string {
  const width = Math.min(34, Math.max(...rows.map(([left]) => left.length)));
  return rows
    .map(([left, right]) =>
      left.length > width
        ? `${indent}${left}\n${indent}${" ".repeat(width + 2)}${right}`
        : `${indent}${left.padEnd(width + 2)}${right}`,
    )
    .join("\n");
}

/** `gantry --help`. */
export function overview(): string {
  const parts = [
    "Run one OCI image behind the wall you choose: a container or a VM.",
    "",
    "Usage: gantry [global flags] COMMAND [flags] [arguments]",
  ];
  for (const group of groups) {
    const rows = Object.entries(table)
      .filter(([, entry]) => entry.group === group && !entry.alias)
      .map(([name, entry]) => [name, entry.summary] as const);
    parts.push("", `${group}:`, columns(rows));
  }
  parts.push(
    "",
    "Global flags:",
    columns(globalFlags),
    "",
    'See "gantry COMMAND --help" for a command\'s flags and examples.',
    "",
  );
  return parts.join("\n");
}

/** `gantry image --help`. */
export function nounOverview(noun: string): string {
  const rows = Object.entries(table)
    .filter(([name]) => (noun === "container" ? !name.includes(" ") : name.startsWith(`${noun} `)))
    .map(([name, entry]) => [name, entry.summary] as const);
  return `Usage: gantry ${noun} COMMAND\n\n${columns(rows)}\n`;
}

const flagName = (name: string, flag: Flag): string =>
  `${flag.short ? `-${flag.short}, ` : "    "}--${name}${flag.value ? ` ${flag.value}` : ""}`;

/** `gantry COMMAND --help`. */
export function commandHelp(name: string, command: Command): string {
  const parts = [command.about, "", `Usage: gantry ${name} ${command.usage}`.trimEnd()];
  const rows = Object.entries(command.flags)
    .filter(([, flag]) => !flag.hidden)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([flagKey, flag]) => [flagName(flagKey, flag), flag.help] as const);
  if (rows.length > 0) parts.push("", "Flags:", columns(rows));
  parts.push("", "Examples:");
  for (const [line, what] of command.examples) parts.push(`  # ${what}`, `  ${line}`);
  parts.push("");
  return parts.join("\n");
}
