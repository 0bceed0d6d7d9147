// React bindings: thin hooks over the client. Nothing here touches the page
// while rendering, so the same tree renders on a server, where every hook gives
// what it gives before the first event.
import { createContext, createElement, useContext, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import type { ReactElement, ReactNode } from "react";
import type { ConnectionState, RealtimeClient, RealtimeEvent } from "@streamgateway/client";
import { createFrames, type Frames } from "./frames";
import { createStore, noEvents, type ChannelOptions } from "./store";

export type { RealtimeClient } from "@streamgateway/client";
export type { ChannelOptions } from "./store";

interface Realtime {
  readonly client: RealtimeClient;
  readonly frames: Frames;
}

const Context = createContext<Realtime | null>(null);

/** Gives a client to all below. The application makes it, once, and closes it if ever. */
export function RealtimeProvider({ client, children }: { readonly client: RealtimeClient; readonly children?: ReactNode }): ReactElement {
  const value = useMemo(() => ({ client, frames: createFrames() }), [client]);
  return createElement(Context.Provider, { value }, children);
}

function useContextOrThrow(): Realtime {
  const realtime = useContext(Context);
  if (!realtime) throw new Error("no <RealtimeProvider> above this component");
  return realtime;
}

/** The client itself: to publish, or to read metrics. */
export const useRealtime = (): RealtimeClient => useContextOrThrow().client;

/**
 * The newest events of channels or patterns, oldest first, from the moment the
 * component is there; at most one render a frame. The list is a new one for
 * other channels, another `type` or `limit`, and the same object as long as
 * nothing comes.
 */
export function useChannel<T = any>(channels: string | readonly string[], options: ChannelOptions = {}): readonly RealtimeEvent<T>[] {
  const { client, frames } = useContextOrThrow();
  const latest = useRef(options);
  useEffect(() => {
    latest.current = options;
  });
  const { limit = 100, type } = options;
  const key = JSON.stringify([channels, type]);
  const store = useMemo(() => {
    const [names, types] = JSON.parse(key) as [string | string[], string | string[] | null];
    return createStore<T>(client, frames, typeof names === "string" ? [names] : names, limit, types ?? undefined, latest);
  }, [client, frames, key, limit]);
  return useSyncExternalStore(store.subscribe, store.getSnapshot, noEvents);
}

/** The newest event of channels or patterns; undefined before the first. */
export function useLatest<T = any>(channels: string | readonly string[], options?: Omit<ChannelOptions, "limit">): RealtimeEvent<T> | undefined {
  return useChannel<T>(channels, { ...options, limit: 1 })[0];
}

/** How the connection is; `idle` on a server. */
export function useRealtimeStatus(): ConnectionState {
  const { client } = useContextOrThrow();
  return useSyncExternalStore(useMemo(() => (changed: () => void) => client.onState(changed), [client]), () => client.state, idle);
}
const idle = (): ConnectionState => "idle";

/** A flag of the server; `otherwise` while it is not known, and on a server. */
export function useFeatureFlag(name: string, otherwise = false): boolean {
  const { client } = useContextOrThrow();
  return useSyncExternalStore(
    useMemo(() => (changed: () => void) => client.onFlags(changed), [client]), () => client.flags[name] ?? otherwise, () => otherwise);
}
