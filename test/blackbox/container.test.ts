import { files } from "./files.ts";
import { lifecycle } from "./lifecycle.ts";
import { network } from "./network.ts";
import { runTable } from "./run-table.ts";
import { settings } from "./settings.ts";
import { streams } from "./streams.ts";

runTable("container", [...lifecycle, ...streams, ...settings, ...files, ...network]);
