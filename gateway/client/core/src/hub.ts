// The subscriptions of one tab: who wants which event. What is no event, late/tell.ts
// tells them.
import type { Client } from "./client";
import { covers } from "./cursor";
import type { RealtimeEvent, SubscribeOptions, Subscription } from "./types";

export interface Entry {
  readonly _channels: readonly string[];
  readonly _listener: (event: RealtimeEvent<any>) => void;
  readonly _options: SubscribeOptions;
}

const wants = (entry: Entry, channel: string): boolean => entry._channels.some((name) => covers(name, channel));

export function add(client: Client, channels: readonly string[], listener: Entry["_listener"], options: SubscribeOptions): Omit<Subscription, "ready"> {
  const entry: Entry = { _channels: channels, _listener: listener, _options: options };
  const { signal } = options;
  const unsubscribe = () => {
    signal?.removeEventListener("abort", unsubscribe);
    if (client._entries.delete(entry)) client._changed();
  };
  if (!signal?.aborted) {
    client._entries.add(entry);
    signal?.addEventListener("abort", unsubscribe);
    client._changed();
  }
  return { channels, unsubscribe };
}

/** Whether anybody wants events of a channel. */
export function isWanted({ _entries: entries }: Client, channel: string): boolean {
  for (const entry of entries) if (wants(entry, channel)) return true;
  return false;
}

export function dispatch(client: Client, event: RealtimeEvent): void {
  for (const entry of [...client._entries]) { // a listener may change them
    const { type } = entry._options;
    if (client._entries.has(entry) && wants(entry, event.channel) && (type === undefined || [type].flat().includes(event.type ?? ""))) {
      client._guard(() => entry._listener(event));
    }
  }
}
