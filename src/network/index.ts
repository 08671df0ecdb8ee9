export { createNetwork, type NetworkOptions } from "./network.ts";
