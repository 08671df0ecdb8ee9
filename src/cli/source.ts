import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { UsageError } from "./command.ts";
import { standardInput } from "./input.ts";

/** The bytes of a file, or of our standard input for `-`. Throws UsageError when it cannot be read. */
export async function readSource(flag: string, path: string | undefined): Promise<AsyncIterable<Uint8Array>> {
  if (path === undefined || path === "-") {
    if (process.stdin.isTTY)
      throw new UsageError(`${flag}: standard input is a terminal; name a file or use <`);
    return standardInput();
  }
  try {
    const handle = await open(path, "r");
    const isFolder = (await handle.stat()).isDirectory();
    await handle.close();
    if (isFolder) throw new Error("it is a folder");
  } catch (error) {
    throw new UsageError(`${flag}: cannot read ${path}: ${(error as Error).message}`);
  }
  return createReadStream(path, { highWaterMark: 256 << 10 });
}
