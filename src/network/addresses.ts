import { GantryError } from "../model/errors.ts";
import { formatAddress, parseAddress, type Subnet, sizeOf } from "./subnet.ts";

/** Which addresses of the subnet are taken. In memory only: `reconcile` fills it from what lives. */
export class AddressPool {
  readonly #subnet: Subnet;
  readonly #size: number;
  readonly #taken: Uint8Array;
  #next = 2;

  constructor(subnet: Subnet) {
    this.#subnet = subnet;
    this.#size = sizeOf(subnet.prefix);
    this.#taken = new Uint8Array(Math.ceil(this.#size / 8));
    for (const offset of [0, 1, this.#size - 1]) this.#set(offset, true); // network, gateway, broadcast
  }

  #has(offset: number): boolean {
    return (this.#taken[offset >> 3]! & (1 << (offset & 7))) !== 0;
  }
  #set(offset: number, on: boolean): void {
    if (on) this.#taken[offset >> 3]! |= 1 << (offset & 7);
    else this.#taken[offset >> 3]! &= ~(1 << (offset & 7));
  }

  /** The number of an address within the subnet; undefined when it is outside. */
  offset(address: string): number | undefined {
    const value = parseAddress(address);
    if (value === undefined) return undefined;
    const offset = value - this.#subnet.base;
    return offset >= 0 && offset < this.#size ? offset : undefined;
  }

  /** Takes exactly this address; false when it is taken, outside, or not for instances. */
  take(address: string): boolean {
    const offset = this.offset(address);
    if (offset === undefined || this.#has(offset)) return false;
    this.#set(offset, true);
    return true;
  }

  /**
   * The wanted address if it is free, else the next one that is. Goes round the subnet before it gives an
   * address again, so that stale neighbour entries and late packets meet nobody. Throws `exhausted`.
   */
  allocate(wanted?: string): string {
    if (wanted !== undefined && this.take(wanted)) return wanted;
    for (let tried = 0; tried < this.#size; tried++) {
      const offset = this.#next;
      this.#next = (this.#next + 1) % this.#size;
      if (this.#has(offset)) continue;
      this.#set(offset, true);
      return formatAddress(this.#subnet.base + offset);
    }
    throw new GantryError(
      "exhausted",
      `no address is left in the network of ${this.#size} addresses: remove instances or choose a larger GANTRY_SUBNET`,
    );
  }

  /** Idempotent; the addresses that are never given stay taken. */
  release(address: string): void {
    const offset = this.offset(address);
    if (offset !== undefined && offset > 1 && offset !== this.#size - 1) this.#set(offset, false);
  }
}
