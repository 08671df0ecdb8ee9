import { readFileSync, writeFileSync } from "node:fs";
import { Undo } from "../../src/lib/undo.ts";
import { createNetwork } from "../../src/network/index.ts";
import { request } from "./bed.ts";

/**
 * An engine to be killed: attaches `count` instances (the first publishes port 8080), prints them as one line of JSON,
 * then goes on. With "rush" as the last argument it prints first and is killed amid attaching.
 */
const [tag, run, settingsFile, count, rush] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string | undefined,
];

export function fileSettings(file: string) {
  const read = (): Record<string, string> => {
    try {
      return JSON.parse(readFileSync(file, "utf8"));
    } catch {
      return {};
    }
  };
  return {
    get: (key: string) => read()[key],
    set: (key: string, value: string) => writeFileSync(file, JSON.stringify({ ...read(), [key]: value })),
  };
}

if (import.meta.main) {
  const network = createNetwork({ paths: { tag, run }, settings: fileSettings(settingsFile) });
  if (rush) console.log("ready");
  const attached = await Promise.all(
    Array.from({ length: Number(count) }, async (_, n) => {
      await using undo = new Undo();
      const ports =
        n === 0 ? [{ hostIp: "0.0.0.0", hostPort: 8080, containerPort: 80, protocol: "tcp" as const }] : [];
      const attachment = await network.attach(request({ ports, end: n % 4 === 3 ? "tap" : "netns" }), undo);
      undo.release();
      return attachment;
    }),
  );
  console.log(JSON.stringify(attached));
  setInterval(() => {}, 1000);
}
