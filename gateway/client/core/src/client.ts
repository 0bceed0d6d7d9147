// The client of one tab: answers what the application asks, and is what its
// rooms know each other by: feed, hub, connection, and the share of all tabs.
import type { Beacon } from "./late/beacon";
import { Connection } from "./connect";
import { browser, type Env } from "./env";
import { MAX_EARLY } from "./late/events";
import { Feed, type Item } from "./feed";
import { Gateway } from "./http";
import { add, type Entry } from "./hub";
import { Share, type Beat } from "./share";
import { Memory } from "./storage";
import type {
  ClientOptions, ConnectionState, Cursor, IterateOptions, PublishAck, PublishOptions, RealtimeClient, RealtimeEvent,
  RealtimeMetrics, Schema, SubscribeOptions, Subscription,
} from "./types";

const SETTLE_MS = 5; // subscriptions of one moment become one request
const LINGER_MS = 2000; // without subscriptions, before the connection ends
const KEPT = 1000; // live events whose latency is known

type Flags = Readonly<Record<string, boolean>>;

/** Makes a client. It connects with the first subscription. */
export function createClient<S extends Schema = Record<string, any>>(options: ClientOptions = {}, env: Env = browser()): RealtimeClient<S> {
  const client = new Client(options, env);
  (globalThis as any).__realtimeMetrics = () => client.metrics();
  return client as unknown as RealtimeClient<S>;
}

const isUp = (state: ConnectionState) => ["connected", "polling", "follower"].includes(state);

export class Client extends Gateway implements RealtimeClient {
  state: ConnectionState = "idle";
  flags: Flags = {};

  /** Subscriptions. */
  readonly _entries = new Set<Entry>();
  readonly _feed = new Feed(this);
  /** Numbers of RealtimeMetrics that others count or find out, and those of before there is something to tell. */
  readonly _count: { -readonly [name in Exclude<keyof RealtimeMetrics, "connectionState" | "connectionUptimeSeconds" | "cursor">]: RealtimeMetrics[name] } = {
    eventsReceived: 0, duplicatesDetected: 0, totalDisconnects: 0, reconnectAttempts: 0, resets: 0, gaps: 0, malformed: 0,
    clockOffsetMs: 0, buffering: false, avgLatencyMs: 0, p95LatencyMs: 0, eventRate: 0, transport: "none", role: "single", term: 0, tabs: 1,
  };
  /** Live events so far, and of the last of them when they came and how late by this clock, in rings. */
  _measured = 0;
  readonly _arrivals = new Float64Array(KEPT);
  readonly _latencies = new Float64Array(KEPT);
  /** Its own connection, where it has one. */
  _connection: Connection | undefined;
  /** The connection runs beside a leader, which is left alone until it has caught up. */
  _beside = false;
  _share: Share | undefined;
  /** How often reports are wanted, where the gateway said. */
  _beaconMs: number | undefined;
  _beacon: Beacon | undefined;
  /** The round trip that the server's time came with, and when. */
  _tripMs = Infinity;
  _tripAt = 0;
  /** What the first event does not need is at work. */
  _attached = false;
  _started = false;
  readonly _memory: Memory;
  /** Two clients share a connection, or the memory of a tab, when they ask the same gateway for the same subject. */
  readonly _name: string;
  readonly #stateListeners = new Set<(state: ConnectionState) => void>();
  readonly #flagListeners = new Set<(flags: Flags) => void>();
  #reason = "";
  #upSince = 0;
  #cancelSettle = () => {};
  #ends: (() => void)[] = [];

  constructor(options: ClientOptions, env: Env) {
    super(options, env);
    let hash = 0;
    for (const char of options.subject ?? "") hash = (hash * 31 + char.charCodeAt(0)) | 0;
    this._name = `sg:${this._base}:${hash}`;
    this._memory = new Memory(this);
  }

  subscribe(channels: string | readonly string[], listener: (event: RealtimeEvent<any>) => void, options: SubscribeOptions = {}): Subscription {
    const names = [channels].flat() as string[];
    return { ...add(this, names, listener, options), ready: () => this._late().then((late) => late._ready(this, names)) };
  }

  events(channels: string | readonly string[], options: IterateOptions = {}): AsyncIterableIterator<RealtimeEvent<any>> {
    const early: RealtimeEvent[] = [];
    const to = { _take: (event: RealtimeEvent) => void (early.length > MAX_EARLY || early.push(event)) };
    const subscription = this.subscribe(channels, (event) => to._take(event), options);
    const made = this._late().then((late) => new late._Events(early, to, subscription, options, this._closing.signal));
    const call = (how: "next" | "return") => () => made.then((events) => events[how]());
    return { next: call("next"), return: call("return"), [Symbol.asyncIterator]() { return this; } };
  }

  publish(channel: string, data: unknown, options?: PublishOptions): Promise<PublishAck> {
    return this._late().then((late) => late._publish(this, channel, data, options));
  }

  history(channel: string, cursor?: Cursor, signal?: AbortSignal) {
    return this._late().then((late) => late._history(this, channel, cursor, signal));
  }

  onState(listener: (state: ConnectionState) => void): () => void {
    return listen(this.#stateListeners, listener);
  }

  onFlags(listener: (flags: Flags) => void): () => void {
    return listen(this.#flagListeners, listener);
  }

  metrics(): RealtimeMetrics {
    const now = this._env.now();
    return {
      ...this._count,
      connectionState: this.state,
      connectionUptimeSeconds: this.#upSince && Math.floor((now - this.#upSince) / 1000),
      cursor: this._feed._position,
      ...this._parts?._numbers(this, now),
    };
  }

  /** Tries again now; from a tab that follows, the one that leads does. */
  reconnect(): void {
    this._soon((late) => late._retry(this));
  }

  close(): void {
    this._memory._save();
    this.#cancelSettle();
    this._beacon?._close();
    for (const end of this.#ends) end();
    this._closing.abort();
    this._entries.clear();
    this._feed._close();
    this._share?._close();
    this._connection?._close();
    this._enter("closed");
  }

  // What the rooms tell.

  /** What all subscriptions want has changed. */
  _changed(): void {
    if (this.state === "closed") return;
    this.#cancelSettle();
    this.#cancelSettle = this._env.after(this._names().length || !this._started ? SETTLE_MS : LINGER_MS, () => this.#settle());
  }

  /** Calls what the application gave; what it throws hurts nobody else. */
  _guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      (this._options.onError ?? throwLater)(error);
    }
  }

  _deny(names: readonly string[]): void {
    this._soon((late) => late._tellDenied(this, names));
  }

  /** What the connection got. */
  _item(connection: Connection, item: Item): void {
    if (connection !== this._connection) return;
    this._feed._push(item);
    this._share?._late?._note(connection, item);
    this._share?._tell("item", { item });
  }

  _flag(flags: Flags, beaconMs = this._beaconMs): void {
    this._beaconMs = beaconMs;
    this._soon((late) => late._flagged(this));
    if (JSON.stringify(flags) === JSON.stringify(this.flags)) return;
    this.flags = Object.freeze({ ...flags });
    for (const listener of this.#flagListeners) this._guard(() => listener(this.flags));
    this._share?._beat();
  }

  /** Takes the state from the connection, if this tab has the one that counts. */
  _refresh(connection = this._connection, reason = this.#reason): void {
    this.#reason = reason;
    if (!connection || connection !== this._connection || (this._share && !this._share._leading)) return;
    this._enter(connection._state, reason);
    this._share?._beat();
  }

  /** Runs a connection. */
  _connect(beside = false): Connection {
    this._beside = beside;
    this._connection ??= new Connection(this, this._feed._position);
    this._union();
    this._refresh();
    return this._connection;
  }

  /** Another tab leads, or shall: ends the connection. */
  _follow(): void {
    this._beside = false;
    this._connection?._close();
    this._connection = undefined;
  }

  /** What the leader says of its connection. */
  _heard({ cursor, offsetMs, buffering, flags, state, reason }: Beat): void {
    if (this._connection && !this._beside) this._follow(); // from before tabs shared
    this._feed._position ??= cursor;
    Object.assign(this._count, { clockOffsetMs: offsetMs, buffering });
    this._flag(flags);
    this._enter(isUp(state) || state === "idle" ? "follower" : state, reason);
  }

  _report(): Omit<Beat, "tabs" | "visible"> {
    const { _connection: connection, _count: { clockOffsetMs: offsetMs, buffering }, flags } = this;
    return { cursor: connection?._position ?? null, state: connection?._state ?? "connecting", reason: this.#reason, flags, offsetMs, buffering };
  }

  /** Asks for what all tabs want. */
  _union(): void {
    this._connection?._want(this._share?._union() ?? this._names());
  }

  /** All channels and patterns that somebody wants. */
  _names(): string[] {
    return [...new Set([...this._entries].flatMap((entry) => entry._channels))];
  }

  _on(event: string, run: () => void): void {
    this.#ends.push(this._env.on(event, run));
  }

  /** Shares a connection where tabs can, and has one of its own elsewhere. */
  _join(): void {
    if (this._env.locks && this._options.share !== false) {
      if (!this._connection) this._enter("connecting");
      this._share = new Share(this);
    } else this._connect();
  }

  #settle(): void {
    const names = this._names();
    if (this._started) {
      this._share?._announce();
      this._union();
      this._soon((late) => late._resume(this, names));
    } else if (names.length) this.#start(names);
  }

  #start(names: string[]): void {
    this._started = true;
    if (this._options.resume !== false) {
      this._memory._load();
      for (const name of names) this._memory._unclaimed.delete(name);
      this._feed._position = this._memory._loaded;
    }
    for (const event of ["online", "offline"]) this._on(event, () => this._connection?._wake(true));
    this._on("visibilitychange", () => this._env.visible() && this._connection?._wake());
    this._on("pagehide", () => this._memory._save());
    this._join();
  }

  _enter(state: ConnectionState, reason = ""): void {
    const was = this.state;
    if (state === was || was === "closed") return;
    if (!isUp(state)) this.#upSince = 0;
    else if (!isUp(was)) {
      this.#upSince = this._env.now();
      this._soon((late) => late._attach(this));
    }
    this.state = state;
    for (const listener of this.#stateListeners) this._guard(() => listener(state));
    if (state === "stopped") this._guard(() => this._options.onFallback?.(reason));
  }
}

/** As an uncaught error. */
const throwLater = (error: unknown) => queueMicrotask(() => { throw error; });

function listen<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
