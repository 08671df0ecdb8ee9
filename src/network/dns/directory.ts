import { shortId } from "../../model/ids.ts";
import { contains, parseAddress, type Subnet } from "../subnet.ts";

interface Entry {
  project: string;
  sandboxId: string;
  names: string[];
}

/** Who has which address, and which names mean it within its project. Names are compared without case. */
export class Directory {
  readonly #byAddress = new Map<string, Entry>();
  readonly #byName = new Map<string, Set<string>>();

  /** An address is in use: its owner may ask, and its short id resolves. */
  add(address: string, project: string, sandboxId: string, names: readonly string[] = []): void {
    this.remove(address);
    const entry = {
      project,
      sandboxId,
      names: [shortId(sandboxId), ...names.map((name) => name.toLowerCase())],
    };
    this.#byAddress.set(address, entry);
    for (const name of entry.names) {
      const key = `${project}\n${name}`;
      const addresses = this.#byName.get(key) ?? new Set<string>();
      this.#byName.set(key, addresses.add(address));
    }
  }

  /** Idempotent. */
  remove(address: string): void {
    const entry = this.#byAddress.get(address);
    if (!entry) return;
    this.#byAddress.delete(address);
    for (const name of entry.names) {
      const key = `${entry.project}\n${name}`;
      const addresses = this.#byName.get(key);
      addresses?.delete(address);
      if (addresses?.size === 0) this.#byName.delete(key);
    }
  }

  clear(): void {
    this.#byAddress.clear();
    this.#byName.clear();
  }

  /** The sandbox whose address this is. */
  owner(address: string): { project: string; sandboxId: string } | undefined {
    return this.#byAddress.get(address);
  }

  /** Addresses of a lower-case name in a project; undefined when nobody has it. */
  resolve(project: string, name: string): string[] | undefined {
    const found = this.#byName.get(`${project}\n${name}`);
    return found && [...found];
  }

  /** The name to show for an address of the same project: the first given one, else the short id. */
  nameOf(project: string, address: string): string | undefined {
    const entry = this.#byAddress.get(address);
    return entry?.project === project ? (entry.names[1] ?? entry.names[0]) : undefined;
  }
}

/** The address that a reverse name (`4.3.2.1.in-addr.arpa`) within the subnet asks for. */
export function reverseAddress(name: string, subnet: Subnet): string | undefined {
  const suffix = ".in-addr.arpa";
  if (!name.endsWith(suffix)) return undefined;
  const address = name.slice(0, -suffix.length).split(".").reverse().join(".");
  const value = parseAddress(address);
  return value !== undefined && contains(subnet, value) ? address : undefined;
}
