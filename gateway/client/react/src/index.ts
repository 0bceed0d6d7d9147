export type { RealtimeClient } from "@streamgateway/client";
