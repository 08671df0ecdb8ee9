import { UsageError } from "../command.ts";

/** A whole number from `least` up. */
export function parseInteger(flag: string, text: string, least: number): number {
  const number = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!(number >= least))
    throw new UsageError(
      `${flag} takes a whole number${least > 0 || least === 0 ? ` from ${least}` : ""}, not ${JSON.stringify(text)}`,
    );
  return number;
}

/** CPUs: a number above 0, with fractions. */
export function parseCpus(text: string): number | undefined {
  const cpus = /^\d+(\.\d+)?$|^\.\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(cpus))
    throw new UsageError(`--cpus takes a number like 0.5 or 2, not ${JSON.stringify(text)}`);
  return cpus === 0 ? undefined : cpus;
}
