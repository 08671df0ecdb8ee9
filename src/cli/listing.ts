import { bool, value } from "./command.ts";
import { plainLine } from "./plain.ts";
import { print, printExact } from "./stdio.ts";

/** A row of a list: its fields by the names that `--format` uses. */
export type Row = Record<string, unknown>;

/** The flags that every list shares. */
export const listFlags = {
  format: value("TEMPLATE", "Show by a template: {{.ID}}, 'table {{.Names}}\\t{{.Image}}', json"),
  json: bool("Show as a JSON array"),
  quiet: bool("Only the ids or names", { short: "q" }),
  "no-trunc": bool("Do not shorten ids and commands"),
} as const;

/** Rows of cells in columns, the last one as wide as it likes. */
export function columns(texts: readonly (readonly string[])[]): string {
  const rows = texts.map((row) => row.map(plainLine));
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]! + 3)))
          .join("")
          .trimEnd()}\n`,
    )
    .join("");
}

/** `\t` and `\n` as people type them in a shell. */
const backslashes = (template: string): string => template.replaceAll("\\t", "\t").replaceAll("\\n", "\n");

export interface Listing {
  rows: readonly Row[];
  /** Column titles and the fields under them, for people. */
  columns: readonly (readonly [title: string, field: string])[];
  /** The field that `--quiet` prints. */
  key: string;
}

/** The heading of a field in a `table` template. */
function heading(listing: Listing, field: string): string {
  const known = listing.columns.find(([, name]) => name === field);
  return known ? known[0] : field.replace(/([a-z])([A-Z])/g, "$1 $2").toUpperCase();
}

async function byTemplate(listing: Listing, format: string): Promise<string> {
  const [{ parseTemplate }, { render }] = await Promise.all([
    import("./template/parse.ts"),
    import("./template/render.ts"),
  ]);
  if (format === "json") return listing.rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  const table = /^table(\s+|$)/.exec(format);
  const body = backslashes(table ? format.slice(table[0].length) : format);
  const nodes = parseTemplate(body);
  if (!table) return listing.rows.map((row) => `${render(nodes, row)}\n`).join("");
  const fields = Object.keys(listing.rows[0] ?? Object.fromEntries(listing.columns.map(([, f]) => [f, ""])));
  const titles = Object.fromEntries(fields.map((field) => [field, heading(listing, field)]));
  return columns([titles, ...listing.rows].map((row) => render(nodes, row).split("\t")));
}

/** Prints a list as its flags ask: a table, ids, JSON or a template. */
export async function printListing(
  listing: Listing,
  flags: { format?: string; json?: boolean; quiet?: boolean },
): Promise<void> {
  if (flags.json) return print(`${JSON.stringify(listing.rows, undefined, 2)}\n`);
  if (flags.quiet) return print(listing.rows.map((row) => `${row[listing.key]}\n`).join(""));
  if (flags.format !== undefined && flags.format !== "table")
    return printExact(await byTemplate(listing, flags.format));
  const titles = listing.columns.map(([title]) => title);
  const cells = listing.rows.map((row) => listing.columns.map(([, field]) => String(row[field] ?? "")));
  return print(columns([titles, ...cells]));
}

/** Prints inspected things: a JSON array, or a template for each. */
export async function printInspected(things: readonly unknown[], format: string | undefined): Promise<void> {
  if (format === undefined || format === "json") {
    if (things.length === 0 && format === undefined) return print("[]\n");
    return print(
      format === undefined
        ? `${JSON.stringify(things, undefined, 4)}\n`
        : things.map((thing) => `${JSON.stringify(thing)}\n`).join(""),
    );
  }
  const [{ parseTemplate }, { render }] = await Promise.all([
    import("./template/parse.ts"),
    import("./template/render.ts"),
  ]);
  const nodes = parseTemplate(backslashes(format));
  for (const thing of things) await printExact(`${render(nodes, thing)}\n`);
}
