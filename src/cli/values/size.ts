import { UsageError } from "../command.ts";

const powers = ["", "k", "m", "g", "t", "p"];

/** Bytes from `512m`, `1.5g`, `64kb`, `1GiB` or a bare number, with factors of 1024, as Docker reads memory sizes. */
export function parseSize(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text);
  const bytes = match
    ? Math.floor(Number(match[1]) * 1024 ** powers.indexOf(match[2]!.toLowerCase()))
    : Number.NaN;
  if (!Number.isSafeInteger(bytes))
    throw new UsageError(`${flag} takes a size like 512m or 1g, not ${JSON.stringify(text)}`);
  return bytes;
}
