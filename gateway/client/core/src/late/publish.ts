// Publishes events so that each is in the log once, however often it is sent,
// and reads what is kept of a channel.
import { page, path, persist } from "./ask";
import type { Gateway, RealtimeError } from "../http";
import type { Cursor, PublishAck, PublishOptions, RealtimeEvent } from "../types";

const TRY_MS = 120_000; // the gateway remembers keys for five minutes

export async function publish(gateway: Gateway, channel: string, data: unknown, { id, type, signal }: PublishOptions = {}): Promise<PublishAck> {
  const { _env: env } = gateway;
  const key = id ?? Array.from({ length: 4 }, () => env.random().toString(36).slice(2, 10)).join("");
  const text = typeof data === "string";
  const bytes = data instanceof Uint8Array;
  const kind = text ? "text/plain" : bytes && "application/octet-stream"; // else JSON, which requests are by themselves
  const ask = () => abortable(signal, (stop) => gateway._ask("POST", path(channel, "events") + (type === undefined ? "" : `?type=${encodeURIComponent(type)}`),
    { body: text || bytes ? data : JSON.stringify(data), stop, headers: { "Idempotency-Key": key, ...(kind && { "Content-Type": kind }) } }));
  const answer = await persist(gateway, TRY_MS, () => ask().catch((error: RealtimeError) => {
    if (error.status === 401 && gateway._renew()) return ask();
    throw error;
  }));
  return { ...answer.results[0], durability: answer.durability };
}

/** All that is kept of one channel after a cursor. */
export async function history(gateway: Gateway, channel: string, cursor?: Cursor, signal?: AbortSignal) {
  const events: RealtimeEvent[] = [];
  for (let complete = true; ; ) {
    const answer = await abortable(signal, (stop) => page(gateway, channel, cursor, stop));
    events.push(...answer.events);
    complete &&= answer.complete;
    cursor = answer.cursor;
    if (!answer.more) return { events, cursor, complete };
  }
}

/** Runs a request that ends with the application's signal, which may outlive thousands of them. */
async function abortable<T>(signal: AbortSignal | undefined, ask: (stop: AbortController) => Promise<T>): Promise<T> {
  signal?.throwIfAborted();
  const stop = new AbortController();
  const abort = () => stop.abort();
  signal?.addEventListener("abort", abort);
  try {
    return await ask(stop);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}
