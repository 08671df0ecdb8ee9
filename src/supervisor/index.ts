export { createSupervisors, type SupervisorsOptions } from "./supervisors.ts";
