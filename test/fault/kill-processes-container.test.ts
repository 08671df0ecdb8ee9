import { killProcesses } from "./kill-processes.ts";

killProcesses("container");
