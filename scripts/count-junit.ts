// Turns bun's JUnit report into one line "suite passed failed skipped name", names what failed or was skipped,
// and appends "<file>\t<test>" for each passed test to a list.
// A run without a report, or that ended badly without a failed case, counts as one failure.
// Usage: count-junit.ts REPORT STATUS FILE LIST
import { appendFileSync, existsSync, readFileSync } from "node:fs";

const [report, status, name, list] = process.argv.slice(2) as [string, string, string, string];
const entities: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
const text = (xml: string) =>
  xml.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (whole, decimal, hex, entity) =>
    entity
      ? (entities[entity] ?? whole)
      : String.fromCodePoint(decimal ? Number(decimal) : Number.parseInt(hex, 16)),
  );
let passed = 0;
let failed = 0;
let skipped = 0;
if (existsSync(report)) {
  const xml = readFileSync(report, "utf8");
  for (const [, attributes, body] of xml.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const title = text(/name="([^"]*)"/.exec(attributes ?? "")?.[1] ?? "?");
    if (body?.includes("<skipped")) {
      skipped++;
      console.error(`skipped: ${name}: ${title}`);
    } else if (body?.includes("<failure") || body?.includes("<error")) {
      failed++;
      console.error(`failed: ${name}: ${title}`);
    } else {
      passed++;
      appendFileSync(list, `${name}\t${title}\n`);
    }
  }
}
if (status !== "0" && failed === 0) {
  failed++;
  console.error(`failed: ${name}: ended with status ${status}${status === "124" ? " (out of time)" : ""}`);
}
console.log(`suite ${passed} ${failed} ${skipped} ${name}`);
