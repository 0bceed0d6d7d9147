// Publishes events so that each is in the log once, however often it is sent.
import { persist, type Gateway } from "./http";
import type { PublishAck, PublishOptions } from "./types";

const TRY_MS = 120_000; // the gateway remembers keys for five minutes

export async function publish(gateway: Gateway, channel: string, data: unknown, { id, type, signal }: PublishOptions = {}): Promise<PublishAck> {
  const { env } = gateway;
  const key = id ?? Array.from({ length: 4 }, () => env.random().toString(36).slice(2, 10)).join("");
  const [body, kind] = data instanceof Uint8Array ? [data, "application/octet-stream"]
    : typeof data === "string" ? [data, "text/plain"] : [JSON.stringify(data), "application/json"];
  const ask = () => {
    signal?.throwIfAborted();
    return gateway.json<any>("POST", `channels/${encodeURIComponent(channel)}/events`,
      { query: { type }, body, signal, headers: { "Content-Type": kind, "Idempotency-Key": key } });
  };
  const answer = await persist(gateway, TRY_MS, () => ask().catch((error) => {
    if (error.status === 401 && gateway.renew()) return ask();
    throw error;
  }));
  return { ...answer.results[0], durability: answer.durability };
}
