import { KeyedLock } from "../lib/lock.ts";
import { GantryError } from "../model/errors.ts";
import { Batcher } from "./batch.ts";
import {
  type Elements,
  elementText,
  familyOf,
  noElements,
  type RulesInput,
  ruleset,
  rulesHash,
  type SetName,
  setNames,
} from "./rules.ts";
import { nft, run } from "./tools.ts";

export interface Settings {
  get(key: string): string | undefined;
  set(key: string, value: string): void;
}

const families = ["ip", "bridge"] as const;
type Family = (typeof families)[number];
const rulesKey = "network.rules";

/** Says both what was asked for and what the kernel made of it: equal fingerprints need no writing. */
const fingerprint = (input: RulesInput, listing: Map<Family, string>): string =>
  `${rulesHash(input)}\n${[...listing.values()].join("")}`;

type Element = [SetName, string, string];
interface Change {
  add: Element[];
  remove: Element[];
}

/**
 * Our two nft tables. What they should hold is kept in memory; the kernel's copy is changed by elements,
 * compared by its fixed part, and replaced as a whole only when it differs.
 */
export class Firewall {
  readonly #settings: Settings;
  readonly #wanted: Elements = noElements();
  readonly #lock = new KeyedLock();
  readonly #changes = new Batcher<Change>((changes) => this.#lock.run("nft", () => this.#commit(changes)));
  #input: RulesInput | undefined;
  /** The fixed part of each table as the kernel lists it. */
  #listing = new Map<Family, string>();
  #looked: Family = "bridge";

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** Makes the tables hold exactly the fixed rules of `input` and `elements`; touches only what differs. */
  install(input: RulesInput, elements?: Elements): Promise<void> {
    return this.#lock.run("nft", async () => {
      this.#input = input;
      const found = await this.#listAll();
      const here = [...found.values()].every((text) => text !== "");
      if (!here || this.#settings.get(rulesKey) !== fingerprint(input, found)) {
        if (elements) this.#replace(elements);
        else if (here) this.#replace(await this.#read());
        await this.#applyAll();
        return;
      }
      this.#listing = found;
      const actual = await this.#read();
      this.#replace(elements ?? actual);
      const lines = elements ? difference(input.names.table, actual, elements) : [];
      if (lines.length > 0) await nft(lines.join("\n")).catch(() => this.#applyAll());
    });
  }

  /** Adds elements. That no two instances share a key is the caller's business. */
  async add(elements: Element[]): Promise<void> {
    if (elements.length > 0) await this.#changes.add({ add: elements, remove: [] });
  }

  /** Removes elements that are there with this very value; others are left alone. Idempotent. */
  async remove(elements: Element[]): Promise<void> {
    // Which of them are there is known when their turn comes: an addition may still be waiting before it.
    if (elements.length > 0 && this.#input) await this.#changes.add({ add: [], remove: elements });
  }

  /**
   * Whether the kernel still has the fixed part as we made it; the watcher's cheap question. It looks at one table,
   * at the other the next time: a flush takes both.
   */
  async intact(): Promise<boolean> {
    if (!this.#input) return true;
    this.#looked = this.#looked === "ip" ? "bridge" : "ip";
    const family = this.#looked;
    return this.#lock.run("nft", async () => this.#listing.get(family) === (await this.#list(family)));
  }

  /** Writes everything anew from memory. */
  async restore(): Promise<void> {
    if (this.#input) await this.#lock.run("nft", () => this.#applyAll());
  }

  async destroy(table: string): Promise<void> {
    await this.#lock.run("nft", () =>
      nft(families.map((f) => `table ${f} ${table}\ndelete table ${f} ${table}\n`).join("")),
    );
    this.#replace(noElements());
    this.#input = undefined;
  }

  #replace(elements: Elements): void {
    for (const set of setNames) {
      const copy = [...elements[set]];
      this.#wanted[set].clear();
      for (const [key, value] of copy) this.#wanted[set].set(key, value);
    }
  }

  async #commit(changes: Change[]): Promise<void> {
    if (!this.#input) throw new GantryError("internal", "the firewall was changed before it was installed");
    const lines: string[] = [];
    const table = this.#input.names.table;
    const removed = changes.flatMap((change) => change.remove);
    const added = changes.flatMap((change) => change.add);
    for (const [set, key, value] of removed)
      if (this.#wanted[set].get(key) === value) lines.push(line("delete", table, set, key));
    for (const [set, key, value] of added) lines.push(line("add", table, set, key, value));
    if (lines.length === 0) return;
    const before = new Map(added.map(([set, key]) => [`${set} ${key}`, this.#wanted[set].get(key)]));
    for (const [set, key, value] of removed)
      if (this.#wanted[set].get(key) === value) this.#wanted[set].delete(key);
    for (const [set, key, value] of added) this.#wanted[set].set(key, value);
    try {
      await nft(lines.join("\n"));
    } catch {
      // Someone changed our tables (a flush, most likely): write all of it.
      try {
        await this.#applyAll();
      } catch (error) {
        for (const [set, key] of added) {
          const old = before.get(`${set} ${key}`);
          if (old === undefined) this.#wanted[set].delete(key);
          else this.#wanted[set].set(key, old);
        }
        throw error;
      }
    }
  }

  async #applyAll(): Promise<void> {
    const input = this.#input!;
    await nft(ruleset(input, this.#wanted));
    this.#listing = await this.#listAll();
    this.#settings.set(rulesKey, fingerprint(input, this.#listing));
  }

  /** A table without its elements; empty when it is missing. */
  async #list(family: Family): Promise<string> {
    const argv = ["nft", "-s", "-t", "list", "table", family, this.#input!.names.table];
    const { status, stdout } = await run(argv, { ok: [0, 1] });
    return status === 0 ? stdout : "";
  }

  async #listAll(): Promise<Map<Family, string>> {
    return new Map(
      await Promise.all(families.map(async (family) => [family, await this.#list(family)] as const)),
    );
  }

  /** The elements that the kernel holds. */
  async #read(): Promise<Elements> {
    const table = this.#input!.names.table;
    const found = noElements();
    const outputs = await Promise.all(
      families.map((family) => run(["nft", "-j", "list", "table", family, table], { ok: [0, 1] })),
    );
    for (const { stdout, status } of outputs) if (status === 0) collect(stdout, found);
    return found;
  }
}

const line = (verb: "add" | "delete", table: string, set: SetName, key: string, value = ""): string =>
  `${verb} element ${familyOf(set)} ${table} ${set} { ${elementText(set, key, value)} }`;

/** Commands that turn `actual` into `wanted`. */
export function difference(table: string, actual: Elements, wanted: Elements): string[] {
  const lines: string[] = [];
  for (const set of setNames) {
    for (const [key, value] of actual[set])
      if (wanted[set].get(key) !== value) lines.push(line("delete", table, set, key));
    for (const [key, value] of wanted[set])
      if (actual[set].get(key) !== value) lines.push(line("add", table, set, key, value));
  }
  return lines;
}

/** How nft's JSON spells keys and values: plain, joined, and wrapped when the element has a limit of its own. */
type Part = string | number | { concat: (string | number)[] } | { elem: { val: Part } };
interface Listed {
  name: string;
  elem?: (Part | [Part, Part])[];
}

function partText(part: Part): string {
  if (typeof part !== "object") return String(part);
  return "concat" in part ? part.concat.join(" . ") : partText(part.elem.val);
}

function collect(json: string, into: Elements): void {
  const { nftables } = JSON.parse(json) as { nftables: { set?: Listed; map?: Listed }[] };
  for (const entry of nftables) {
    const listed = entry.set ?? entry.map;
    if (!listed || !(listed.name in into)) continue;
    for (const element of listed.elem ?? []) {
      const [key, value] = Array.isArray(element) ? element : [element, undefined];
      into[listed.name as SetName].set(partText(key), value === undefined ? "" : partText(value));
    }
  }
}
