import type { Gap, RealtimeClient, RealtimeEvent, Reset, Subscription } from "@streamgateway/client";
import type { Frames } from "./frames";

export interface ChannelOptions {
  /** Newest events kept; 100 when absent. */
  readonly limit?: number;
  /** Only events of these types. */
  readonly type?: string | readonly string[];
  /** In place of the client's: events may be missing, load these channels' state anew. */
  readonly onReset?: (reset: Reset) => void;
  readonly onGap?: (gap: Gap) => void;
}

/** What `useSyncExternalStore` asks for, over one subscription. */
export interface Store<T> {
  subscribe(changed: () => void): () => void;
  getSnapshot(): readonly RealtimeEvent<T>[];
}

const none: readonly never[] = [];
export const noEvents = (): readonly never[] => none;

/**
 * The newest events of some channels, oldest first. It subscribes with its
 * first reader and leaves a moment after its last one: React takes readers out
 * and puts them back when it is strict, and the network need not know.
 * Handlers are those of `latest` when they are needed.
 */
export function createStore<T>(
  client: RealtimeClient, frames: Frames, channels: readonly string[],
  limit: number, type: ChannelOptions["type"], latest: { readonly current: ChannelOptions },
): Store<T> {
  const readers = new Set<() => void>();
  let shown: readonly RealtimeEvent<T>[] = none;
  let arrived: RealtimeEvent<T>[] = [];
  let subscription: Subscription | undefined;
  let leaving: ReturnType<typeof setTimeout> | undefined;

  const show = (): void => {
    shown = [...shown, ...arrived].slice(-limit);
    arrived = [];
    for (const changed of readers) changed();
  };
  const take = (event: RealtimeEvent<T>): void => {
    arrived.push(event);
    // Events that no frame will show are not kept for one.
    if (arrived.length >= 2 * limit) arrived = arrived.slice(-limit);
    frames.next(show);
  };
  const open = (): void => {
    // Without a handler of its own the client's, which may be one, is right.
    const { onReset, onGap } = latest.current;
    subscription = client.subscribe(channels, take, {
      ...(type === undefined ? {} : { type }),
      ...(onReset && { onReset: (reset: Reset) => latest.current.onReset?.(reset) }),
      ...(onGap && { onGap: (gap: Gap) => latest.current.onGap?.(gap) }),
    });
  };
  return {
    subscribe(changed) {
      clearTimeout(leaving);
      readers.add(changed);
      if (!subscription) open();
      return () => {
        readers.delete(changed);
        if (readers.size > 0) return;
        leaving = setTimeout(() => {
          subscription?.unsubscribe();
          subscription = undefined;
          shown = none; // what comes while nobody reads would be missing in between
          arrived = [];
        });
      };
    },
    getSnapshot: () => shown,
  };
}
