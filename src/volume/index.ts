export { createVolumes } from "./volumes.ts";
