// Turns bun's JUnit report into one line "suite passed failed skipped name" and names what failed or was skipped.
// A run without a report, or that ended badly without a failed case, counts as one failure.
import { existsSync, readFileSync } from "node:fs";

const [report, status, name] = process.argv.slice(2) as [string, string, string];
let passed = 0;
let failed = 0;
let skipped = 0;
if (existsSync(report)) {
  const xml = readFileSync(report, "utf8");
  for (const [, attributes, body] of xml.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const title = /name="([^"]*)"/.exec(attributes ?? "")?.[1] ?? "?";
    if (body?.includes("<skipped")) {
      skipped++;
      console.error(`skipped: ${name}: ${title}`);
    } else if (body?.includes("<failure") || body?.includes("<error")) {
      failed++;
      console.error(`failed: ${name}: ${title}`);
    } else passed++;
  }
}
if (status !== "0" && failed === 0) {
  failed++;
  console.error(`failed: ${name}: ended with status ${status}${status === "124" ? " (out of time)" : ""}`);
}
console.log(`suite ${passed} ${failed} ${skipped} ${name}`);
