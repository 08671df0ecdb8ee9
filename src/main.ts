import { runCli } from "./cli/main.ts";

process.exit(
  await runCli(process.argv.slice(2), async (paths, options) => {
    const { runDaemon } = await import("./daemon.ts");
    await runDaemon(paths, options);
  }),
);
