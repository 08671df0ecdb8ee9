export { type ContainerBackendOptions, createContainerBackend } from "./backend.ts";
