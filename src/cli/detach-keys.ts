import { UsageError } from "./command.ts";

const named: Readonly<Record<string, number>> = { "@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, _: 31 };

/** Bytes of a key sequence such as `ctrl-p,ctrl-q` or `a,b`. Throws UsageError. */
export function parseDetachKeys(text: string): number[] {
  return text.split(",").map((key) => {
    const control = /^ctrl-(.)$/.exec(key)?.[1];
    if (control !== undefined) {
      if (/[a-zA-Z]/.test(control)) return control.toLowerCase().charCodeAt(0) - 96;
      const code = named[control];
      if (code !== undefined) return code;
    } else if (key.length === 1 && key.charCodeAt(0) < 128) return key.charCodeAt(0);
    throw new UsageError(`--detach-keys takes keys like ctrl-p,ctrl-q or a,b, not ${JSON.stringify(text)}`);
  });
}

/** Finds the key sequence in typed input; bytes that may begin it are held back until it is clear. */
export class DetachKeys {
  readonly #keys: readonly number[];
  #matched = 0;

  constructor(keys: readonly number[]) {
    this.#keys = keys;
  }

  /** The bytes to pass on, and whether the sequence was completed (what follows it is dropped). */
  push(input: Uint8Array): { pass: Buffer; detached: boolean } {
    const pass: number[] = [];
    for (const byte of input) {
      if (byte !== this.#keys[this.#matched] && this.#matched > 0) {
        pass.push(...this.#keys.slice(0, this.#matched));
        this.#matched = 0;
      }
      if (byte !== this.#keys[this.#matched]) pass.push(byte);
      else if (++this.#matched === this.#keys.length) return { pass: Buffer.from(pass), detached: true };
    }
    return { pass: Buffer.from(pass), detached: false };
  }
}
