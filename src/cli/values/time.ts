import { UsageError } from "../command.ts";

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * A moment in milliseconds since the epoch: a duration before now (`10m`, `1h30m`), Unix seconds,
 * or an RFC 3339 date or time (local when it names no zone).
 */
export function parseTime(flag: string, text: string, now = Date.now()): number {
  if (/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) {
    let span = 0;
    for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g))
      span += Number(number) * units[unit!]!;
    return now - span;
  }
  if (/^\d{1,12}(\.\d{1,9})?$/.test(text)) return Number(text) * 1000;
  const match = /^\d{4}-\d\d-\d\d(?:T\d\d(?::\d\d(?::\d\d(?:\.\d{1,9})?)?)?)?(?:Z|[+-]\d\d:\d\d)?$/.exec(
    text,
  );
  let iso = text;
  if (/^\d{4}-\d\d-\d\d$/.test(text)) iso = `${text}T00:00:00`;
  else if (/T\d\d(Z|[+-]\d\d:\d\d)?$/.test(text)) iso = text.replace(/T(\d\d)/, "T$1:00");
  const moment = match ? Date.parse(iso) : Number.NaN;
  if (Number.isNaN(moment))
    throw new UsageError(
      `${flag} takes a time like 10m, 2026-01-02T03:04:05 or Unix seconds, not ${JSON.stringify(text)}`,
    );
  return moment;
}
