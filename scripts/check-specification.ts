// Fails when a test that docs/SPECIFICATION.md names did not run and pass.
// Usage: check-specification.ts FILE, where FILE has a line "<test file>\t<test name>" for each passed test.
import { readFileSync } from "node:fs";

const passed = new Set(readFileSync(process.argv[2]!, "utf8").split("\n"));
const walls = ["test/blackbox/container.test.ts", "test/blackbox/vm.test.ts"];
let promises = 0;
const missing: string[] = [];
for (const [, where, name] of readFileSync("docs/SPECIFICATION.md", "utf8").matchAll(
  /\| `([^`:]+): ([^`]+)` \|$/gm,
)) {
  promises++;
  for (const file of where === "both" ? walls : [where!])
    if (!passed.has(`${file}\t${name}`)) missing.push(`${file}: ${name}`);
}
if (promises === 0) missing.push("docs/SPECIFICATION.md names no test");
for (const line of missing) console.error(`promised, but did not run and pass: ${line}`);
process.exit(missing.length === 0 ? 0 : 1);
