export type * from "./types";
export { createClient } from "./client";
export { RealtimeError } from "./http";
export type { Env, Wire } from "./env";
