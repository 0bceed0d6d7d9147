// The public face of the client: all that an application or the React bindings
// may rely on. Times are milliseconds; those of events are the server's clock.

/** Where an event stands in the log, as `epoch.seq`; opaque to applications. */
export type Cursor = string;

/** One event, as every tab sees it: in the order of the log, once. */
export interface RealtimeEvent<T = unknown> {
  /** Place in the log; grows, with holes where other channels' events are. */
  readonly seq: number;
  /** When the log took it, in milliseconds of the server's clock. */
  readonly time: number;
  readonly channel: string;
  /** The publisher's id. */
  readonly id: string;
  /** The publisher's type, where it gave one. */
  readonly type?: string;
  /** The publisher's JSON, or text as a string; absent when `data64` is there. */
  readonly data: T;
  /** Binary data in base64. */
  readonly data64?: string;
  /** How many parts the gateway merged into this one; absent for one. */
  readonly n?: number;
  /** `seq` of the first merged part. */
  readonly first?: number;
}

/**
 * `idle` before the first subscription; `connecting`; `connected` with a stream;
 * `polling` by long-poll; `reconnecting` between attempts; `offline` while the
 * browser says so; `follower` while another tab holds the connection; `stopped`
 * by an answer that a retry would not change, or by a flag; `closed` by `close`.
 */
export type ConnectionState =
  | "idle" | "connecting" | "connected" | "polling" | "reconnecting" | "offline" | "follower" | "stopped" | "closed";

/** Events of these channels may be missing: reload their state, later events come on top. */
export interface Reset {
  readonly reason: "evicted" | "unprovable" | "too-many" | "epoch" | "future" | "malformed" | "log-hole" | "local";
  /** Channels and patterns of this subscription (or of all, for the client's own hook). */
  readonly channels: readonly string[];
}

/** Events of these channels were skipped on a live stream. */
export interface Gap {
  readonly reason: "slow" | "rate" | "conflate";
  /** `lost` is null where the gateway did not count. */
  readonly channels: readonly { readonly channel: string; readonly lost: number | null }[];
}

export interface SubscribeOptions {
  /** Ends the subscription. */
  readonly signal?: AbortSignal;
  /** Only events of these types. */
  readonly type?: string | readonly string[];
  /** Called in place of the client's `onReset`. */
  readonly onReset?: (reset: Reset) => void;
  readonly onGap?: (gap: Gap) => void;
  /** The gateway does not let this client read these of its channels. */
  readonly onDenied?: (channels: readonly string[]) => void;
}

export interface IterateOptions extends SubscribeOptions {
  /** Events that may wait for the loop; one more ends it with an error. 10,000 when absent. */
  readonly maxBuffered?: number;
}

export interface Subscription {
  readonly channels: readonly string[];
  /** Resolves when the gateway reads these channels for this page: what is published from then on arrives. */
  ready(): Promise<void>;
  unsubscribe(): void;
}

/** An event's data by channel or pattern, for a typed client. */
export type Schema = Record<string, unknown>;

export interface PublishOptions {
  /** Idempotency key: the same id twice within five minutes is one event. Random when absent. */
  readonly id?: string;
  readonly type?: string;
  readonly signal?: AbortSignal;
}

export interface PublishAck {
  readonly cursor: Cursor;
  readonly duplicate: boolean;
  readonly durability: string;
}

/** The nine numbers that are always there, and what explains them (`window.__realtimeMetrics()`). */
export interface RealtimeMetrics {
  readonly connectionState: ConnectionState;
  /** Over the last 1000 live events; 0 without one. */
  readonly avgLatencyMs: number;
  readonly p95LatencyMs: number;
  readonly eventsReceived: number;
  /** Events that came again and were dropped. */
  readonly duplicatesDetected: number;
  /** Connections lost; those that moved in order do not count. */
  readonly totalDisconnects: number;
  readonly reconnectAttempts: number;
  readonly connectionUptimeSeconds: number;
  /** Events per second over the last ten. */
  readonly eventRate: number;
  readonly transport: "sse" | "poll" | "none";
  readonly role: "single" | "leader" | "follower";
  readonly term: number;
  readonly cursor: Cursor | null;
  readonly resets: number;
  readonly gaps: number;
  /** Server's clock less this one's. */
  readonly clockOffsetMs: number;
  /** A proxy held back the stream. */
  readonly buffering: boolean;
  /** Tabs that share the connection, this one too. */
  readonly tabs: number;
  /** Frames that could not be read and were left out. */
  readonly malformed: number;
}

export interface ClientOptions {
  /** Base of the gateway's interface; `/v2/realtime` of the page's origin when absent. */
  readonly url?: string;
  /** Gives a token; asked before the first connect, before expiry, and once after a 401. An empty one is not sent: it has renewed a cookie. */
  readonly getToken?: () => string | Promise<string>;
  /** Who reads: tabs share a connection, and a cursor survives a reload, only for the same subject. */
  readonly subject?: string;
  /** Of requests; `include` for a cookie of another origin. `same-origin` when absent. */
  readonly credentials?: RequestCredentials;
  /** One connection for all tabs of this browser; true when absent. */
  readonly share?: boolean;
  /** Go on after a reload where this tab was; true when absent. */
  readonly resume?: boolean;
  /** Share of tabs, 0..1, whose metrics go to the gateway; 0 when absent. */
  readonly beacon?: number;
  /** Without it the newest event of each exact channel is fetched again. */
  readonly onReset?: (reset: Reset) => void;
  readonly onGap?: (gap: Gap) => void;
  readonly onDenied?: (channels: readonly string[]) => void;
  /** The client stopped; the application's own way to get data takes over. */
  readonly onFallback?: (reason: string) => void;
  /** What a handler of the application threw; reported as an uncaught error when absent. */
  readonly onError?: (error: unknown) => void;
}

export interface RealtimeClient<S extends Schema = Record<string, any>> {
  /** Calls `listener` for every event, until it is unsubscribed. */
  subscribe<C extends keyof S & string>(
    channels: C | readonly C[], listener: (event: RealtimeEvent<S[C]>) => void, options?: SubscribeOptions,
  ): Subscription;
  /** The same events as an iterator; leaving the loop ends the subscription. */
  events<C extends keyof S & string>(
    channels: C | readonly C[], options?: IterateOptions,
  ): AsyncIterableIterator<RealtimeEvent<S[C]>>;
  /** Publishes one event: JSON, a string as text, bytes as binary. Repeats until it knows that it was taken. */
  publish(channel: string, data: unknown, options?: PublishOptions): Promise<PublishAck>;
  /** What is kept of one channel after a cursor (all, without one), oldest first. */
  history(channel: string, cursor?: Cursor, signal?: AbortSignal): Promise<{ events: RealtimeEvent[]; cursor: Cursor; complete: boolean }>;
  readonly state: ConnectionState;
  /** Called on every change; returns the way to end that. */
  onState(listener: (state: ConnectionState) => void): () => void;
  /** Server flags: the same object until one changes. A name that is absent is not known to the gateway. */
  readonly flags: Readonly<Record<string, boolean>>;
  onFlags(listener: (flags: Readonly<Record<string, boolean>>) => void): () => void;
  metrics(): RealtimeMetrics;
  /** Tries again now, also after `stopped`. */
  reconnect(): void;
  /** Ends all subscriptions and the connection. */
  close(): void;
}
