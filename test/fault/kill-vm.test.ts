import { killTable } from "./kill-table.ts";

killTable("vm");
