const spans: readonly [seconds: number, name: string][] = [
  [86_400 * 365, "year"],
  [86_400 * 30, "month"],
  [86_400 * 7, "week"],
  [86_400, "day"],
  [3600, "hour"],
  [60, "minute"],
];

/** A span of milliseconds in words: "5 minutes", "About an hour", "2 weeks". */
export function showSpan(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  if (Math.round(seconds / 3600) === 1) return "About an hour";
  const count = (unit: number) => Math.floor(seconds / unit);
  // The larger unit only from two of it on, so that nothing is rounded away.
  for (const [unit, name] of spans) if (count(unit) >= 2) return `${count(unit)} ${name}s`;
  return `${minutes} minutes`;
}

/** "5 minutes ago". */
export const showAge = (moment: number, now = Date.now()): string => `${showSpan(now - moment)} ago`;

function scaled(bytes: number, factor: number, units: readonly string[]): string {
  let value = bytes;
  let unit = 0;
  while (value >= factor && unit < units.length - 1) {
    value /= factor;
    unit++;
  }
  return `${Number.parseFloat(value.toPrecision(4))}${units[unit]}`;
}

/** Decimal units, as image sizes have them: 691MB. */
export const showSize = (bytes: number): string => scaled(bytes, 1000, ["B", "kB", "MB", "GB", "TB", "PB"]);

/** Binary units, as memory has them: 512MiB. */
export const showMemory = (bytes: number): string =>
  scaled(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);

/** Local date and time with its zone, as lists show it. */
export function showMoment(moment: number): string {
  const date = new Date(moment);
  const two = (n: number) => String(n).padStart(2, "0");
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone}`;
}
