// Fills a store without end, telling each acknowledged name; killed by crash.test.ts at any moment.
import { createImages } from "../../src/image/index.ts";
import { tarEnd, tarFile } from "../../src/image/tar-write.ts";
import { parts, supervisors } from "../../src/image/testing.ts";

const [root = "", round = "0"] = process.argv.slice(2);
const images = createImages({ paths: { root }, supervisors, usage: () => new Map() });
for (let n = 0; ; n++) {
  const word = `${round}-${n}`;
  const tar = Buffer.concat([
    ...tarFile({ name: "word" }, word),
    ...tarFile({ name: "fill" }, word.repeat(20_000)),
    tarEnd(),
  ]);
  const name = `localhost/w:${word}`;
  await images.import("default", parts(tar), { name });
  console.log(`+${name}`);
  if (n % 3 === 2) {
    const old = `localhost/w:${round}-${n - 1}`;
    console.log(`-${old}`);
    await images.remove("default", old, false);
  }
}
