// The client of one tab: wires subscriptions, feed, connection and the other
// tabs, and answers what the application asks.
import { Connection, type Batch, type GapNotice, type ResetNotice } from "./connect";
import { before } from "./cursor";
import { browser, type Env } from "./env";
import { Events } from "./events";
import { Feed, page, type Item, type Past } from "./feed";
import { Gateway } from "./http";
import { Hub } from "./hub";
import { Meter } from "./metrics";
import { publish } from "./publish";
import { Ring } from "./ring";
import { Share, type Beat, type Host } from "./share";
import { Memory } from "./storage";
import type {
  ClientOptions, ConnectionState, Cursor, IterateOptions, PublishAck, PublishOptions, RealtimeClient, RealtimeEvent,
  RealtimeMetrics, Schema, SubscribeOptions, Subscription,
} from "./types";

const SETTLE_MS = 5; // subscriptions of one moment become one request
const LINGER_MS = 2000; // without subscriptions, before the connection ends

/** Makes a client. It connects with the first subscription. */
export function createClient<S extends Schema = Record<string, any>>(options: ClientOptions = {}, env: Env = browser()): RealtimeClient<S> {
  const client = new Client(options, env);
  (globalThis as any).__realtimeMetrics = () => client.metrics();
  return client as unknown as RealtimeClient<S>;
}

class Client implements RealtimeClient, Host {
  state: ConnectionState = "idle";
  flags: Readonly<Record<string, boolean>> = {};

  readonly #gateway: Gateway;
  readonly #hub: Hub;
  readonly #meter = new Meter();
  readonly #feed: Feed;
  readonly #memory: Memory;
  readonly #stateListeners = new Set<(state: ConnectionState) => void>();
  readonly #flagListeners = new Set<(flags: Readonly<Record<string, boolean>>) => void>();
  readonly #iterators = new Set<Events<any>>();
  readonly #sampled: boolean;
  #connection: Connection | undefined;
  #share: Share | undefined;
  #ring = new Ring(null);
  #started = false;
  #reason = "";
  #buffering = false;
  #upSince = 0;
  #preparing = false;
  #beaconMs = 60_000;
  #reported = 0; // live events of before the last report
  #cancelSettle = () => {};
  #cancelBeacon = () => {};
  #ends: (() => void)[] = [];

  constructor(readonly options: ClientOptions, readonly env: Env) {
    this.#gateway = new Gateway(env, options);
    this.#hub = new Hub(options, () => this.#changed());
    this.#memory = new Memory(env, this.#name());
    this.#feed = new Feed(this.#gateway, this.#hub, this.#meter, null);
    this.#feed.moved = () => this.#memory.note(this.#feed.position, this.names());
    this.#feed.past = (cursor, names) => this.#past(cursor, names);
    this.#sampled = env.random() < (options.beacon ?? 0);
  }

  subscribe(channels: string | readonly string[], listener: (event: RealtimeEvent<any>) => void, options: SubscribeOptions = {}): Subscription {
    const names = [channels].flat() as string[];
    return { ...this.#hub.add(names, listener, options), ready: () => this.#past(this.#feed.position, names).then(() => {}) };
  }

  events(channels: string | readonly string[], options: IterateOptions = {}): AsyncIterableIterator<RealtimeEvent<any>> {
    const events = new Events<any>((listener) => this.subscribe(channels, listener, options), options);
    this.#iterators.add(events);
    return events;
  }

  publish(channel: string, data: unknown, options?: PublishOptions): Promise<PublishAck> {
    return publish(this.#gateway, channel, data, options);
  }

  async history(channel: string, cursor?: Cursor, signal?: AbortSignal) {
    const events: RealtimeEvent[] = [];
    for (let complete = true; ; ) {
      const answer = await page(this.#gateway, channel, cursor, signal);
      events.push(...answer.events);
      complete &&= answer.complete;
      cursor = answer.cursor;
      if (!answer.more) return { events, cursor, complete };
    }
  }

  onState(listener: (state: ConnectionState) => void): () => void {
    this.#stateListeners.add(listener);
    return () => void this.#stateListeners.delete(listener);
  }

  onFlags(listener: (flags: Readonly<Record<string, boolean>>) => void): () => void {
    this.#flagListeners.add(listener);
    return () => void this.#flagListeners.delete(listener);
  }

  metrics(): RealtimeMetrics {
    const now = this.env.now();
    const { avg, p95 } = this.#meter.latency();
    const connection = this.#connection;
    const share = this.#share;
    return {
      connectionState: this.state,
      avgLatencyMs: avg,
      p95LatencyMs: p95,
      eventsReceived: this.#meter.events,
      duplicatesDetected: this.#meter.duplicates,
      totalDisconnects: connection?.disconnects ?? 0,
      reconnectAttempts: Math.max(0, (connection?.attempts ?? 0) - 1),
      connectionUptimeSeconds: this.#upSince ? Math.floor((now - this.#upSince) / 1000) : 0,
      eventRate: this.#meter.rate(now),
      transport: this.state === "polling" ? "poll" : this.state === "connected" || this.state === "follower" ? "sse" : "none",
      role: share ? (share.leading ? "leader" : "follower") : "single",
      term: share?.term ?? 0,
      cursor: this.#feed.position,
      resets: this.#meter.resets,
      gaps: this.#meter.gaps,
      clockOffsetMs: this.#meter.offsetMs,
      buffering: this.#buffering,
      tabs: share?.tabs ?? 1,
      malformed: this.#meter.malformed,
    };
  }

  reconnect(): void {
    if (this.#connection) this.#connection.retry();
    else this.#share?.retry();
  }

  close(): void {
    this.#memory.save();
    this.#cancelSettle();
    this.#cancelBeacon();
    for (const end of this.#ends) end();
    for (const events of this.#iterators) void events.return();
    this.#hub.clear();
    this.#feed.close();
    this.#share?.close();
    this.#connection?.close();
    this.#enter("closed", "");
  }

  // What the connection says, as its sink.

  #sink(connection: () => Connection) {
    const mine = () => connection() === this.#connection;
    const push = (item: Item) => {
      this.#feed.push(item);
      this.#share?.tell(item);
    };
    return {
      batch: (batch: Batch) => {
        if (!mine()) return;
        this.#ring.add(batch, this.env.now());
        push({ batch });
      },
      reset: (reset: ResetNotice) => {
        if (reset.all) this.#ring.clear(reset.resumeAt);
        push({ reset });
      },
      gap: (gap: GapNotice) => push({ gap }),
      denied: (names: readonly string[]) => {
        this.denied(names);
        this.#share?.tellDenied(names);
      },
      flags: (flags: Record<string, boolean>, beaconMs = this.#beaconMs) => {
        if (beaconMs !== this.#beaconMs) {
          this.#beaconMs = beaconMs;
          if (this.#sampled) this.#beaconLater(); // not as late as was right before
        }
        this.#setFlags(flags);
      },
      clock: (serverMs: number, roundTripMs: number) => {
        if (this.#meter.clock(serverMs, roundTripMs, this.env.now())) void this.#askTime();
      },
      beat: () => this.#share?.beat(),
      malformed: () => this.#meter.malformed++,
      state: (_: ConnectionState, reason: string) => {
        this.#reason = reason;
        if (mine()) this.#refresh();
      },
    };
  }

  /** The clock of the fastest of three answers. */
  async #askTime(): Promise<void> {
    for (let i = 0; i < 3; i++) {
      const asked = this.env.now();
      const answer = await this.#gateway.json<{ t: number }>("GET", "time").catch(() => null);
      const now = this.env.now();
      if (answer) this.#meter.clock(answer.t, now - asked, now);
    }
  }

  // What the other tabs ask, as host of the share.

  lead(): void {
    this.#preparing = false;
    this.#connect();
    this.#refresh();
  }

  follow(): void {
    this.#preparing = false;
    this.#connection?.close();
    this.#connection = undefined;
    this.#refresh();
  }

  prepare(ready: () => void): void {
    this.#preparing = true;
    this.#connect();
    void this.#connection!.covered(this.#connection!.wanted).then(ready);
  }

  item(item: Item): void {
    this.#feed.push(item);
  }

  denied(names: readonly string[]): void {
    this.#hub.denied(names);
  }

  beat(beat: Beat): void {
    if (this.#connection && !this.#preparing) this.follow(); // from before tabs shared
    this.#feed.position ??= beat.cursor;
    this.#meter.offsetMs = beat.offsetMs;
    this.#buffering = beat.buffering;
    this.#setFlags(beat.flags);
    const { state } = beat;
    this.#enter(state === "connected" || state === "polling" || state === "idle" ? "follower" : state, beat.reason);
  }

  report(): Omit<Beat, "tabs" | "visible"> {
    const connection = this.#connection;
    return {
      cursor: connection?.position ?? null, state: connection?.state ?? "connecting", reason: this.#reason, flags: this.flags,
      offsetMs: this.#meter.offsetMs, buffering: this.#buffering,
    };
  }

  newLeader(): void {
    const { position } = this.#feed;
    if (position) this.#feed.catchUp(position, this.names(), true);
  }

  union(): void {
    this.#connection?.want(this.#share?.union() ?? this.names());
  }

  names(): readonly string[] {
    return this.#hub.channels();
  }

  retry(): void {
    this.#connection?.retry();
  }

  async remember(cursor: Cursor | null, names: readonly string[]): Promise<Past | null> {
    const connection = this.#connection;
    if (!connection) return null;
    await connection.covered(names);
    for (const name of names) {
      const from = connection.from.get(name);
      if (!cursor || !from || before(cursor, from)) return null;
    }
    return cursor ? this.#ring.after(cursor) : null;
  }

  // Inner workings.

  #changed(): void {
    if (this.state === "closed") return;
    this.#cancelSettle();
    const names = this.names();
    this.#cancelSettle = this.env.after(names.length || !this.#started ? SETTLE_MS : LINGER_MS, () => this.#settle());
  }

  #settle(): void {
    const names = this.names();
    if (!this.#started) {
      if (names.length) this.#start();
      return;
    }
    this.#share?.announce();
    this.union();
    const { cursor, names: old } = this.#memory.take(names);
    if (cursor && old.length) this.#feed.catchUp(cursor, old, false);
  }

  #start(): void {
    this.#started = true;
    if (this.options.resume !== false) {
      this.#feed.position = this.#memory.load().cursor;
      this.#memory.take(this.names());
    }
    const on = (event: string, run: () => void) => this.#ends.push(this.env.on(event, run));
    on("online", () => this.#connection?.wake(true));
    on("offline", () => this.#connection?.wake(true));
    on("visibilitychange", () => {
      this.#share?.visibility();
      if (this.env.visible()) this.#connection?.wake(false);
      else this.#sendBeacon();
    });
    on("freeze", () => this.#share?.yield());
    on("pagehide", () => this.#leave());
    on("pageshow", () => {
      this.#share?.announce();
      this.#connection?.wake(false);
    });
    if (this.#sampled) this.#beaconLater();
    this.#join();
  }

  /** Shares a connection where tabs can, and has one of its own elsewhere. */
  #join(): void {
    if (this.env.locks && this.options.share !== false) {
      if (!this.#connection) this.#enter("connecting", "");
      this.#share = new Share(this.env, this.#name(), this);
    } else this.#connect();
  }

  /** Two clients share a connection, or the memory of a tab, when they ask the same gateway for the same subject. */
  #name(): string {
    let hash = 0;
    for (const char of this.options.subject ?? "") hash = (hash * 31 + char.charCodeAt(0)) | 0;
    return `sg:${this.#gateway.base}:${hash}`;
  }

  #connect(): void {
    if (!this.#connection) {
      const { position } = this.#feed;
      this.#ring = new Ring(position);
      const connection: Connection = new Connection(this.#gateway, this.#sink(() => connection), position);
      this.#connection = connection;
    }
    this.union();
  }

  /** What another tab remembers after the cursor, once these names are read. */
  async #past(cursor: Cursor | null, names: readonly string[]): Promise<Past | null> {
    while (!this.#started) await new Promise<void>((done) => this.env.after(SETTLE_MS, done));
    if (this.#share) return this.#share.past(cursor, names);
    await this.#connection?.covered(names);
    return null;
  }

  #setFlags(flags: Record<string, boolean>): void {
    if (JSON.stringify(flags) === JSON.stringify(this.flags)) return;
    this.flags = Object.freeze({ ...flags });
    for (const listener of this.#flagListeners) this.#hub.guard(() => listener(this.flags));
    this.#share?.beat();
    const shared = flags["sharedConnection"] !== false;
    if (!shared && this.#share) {
      this.#share.close();
      this.#share = undefined;
      this.#connect();
    } else if (shared && !this.#share && this.#started) this.#join();
  }

  /** Takes the state from the connection, if this tab has the one that counts. */
  #refresh(): void {
    const connection = this.#connection;
    if (!connection || (this.#share && !this.#share.leading)) return;
    this.#buffering = connection.buffering;
    this.#enter(connection.state, this.#reason);
    this.#share?.beat();
  }

  #enter(state: ConnectionState, reason: string): void {
    if (state === this.state || this.state === "closed") return;
    const up = (s: ConnectionState) => s === "connected" || s === "polling" || s === "follower";
    if (!up(state)) this.#upSince = 0;
    else if (!up(this.state)) this.#upSince = this.env.now();
    this.state = state;
    for (const listener of this.#stateListeners) this.#hub.guard(() => listener(state));
    if (state === "stopped") this.#hub.guard(() => this.options.onFallback?.(reason));
  }

  #leave(): void {
    this.#memory.save();
    this.#sendBeacon();
    this.#share?.leave();
  }

  #beaconLater(): void {
    this.#cancelBeacon();
    this.#cancelBeacon = this.env.after(this.#beaconMs * (0.8 + this.env.random() * 0.4), () => {
      this.#sendBeacon();
      this.#beaconLater();
    });
  }

  /** Sends the metrics of the tab that has the connection; without latencies when nothing new was measured. */
  #sendBeacon(): void {
    if (!this.#sampled || this.flags["beacon"] === false || !this.#connection) return;
    const quiet = this.#meter.measured === this.#reported && { avgLatencyMs: null, p95LatencyMs: null };
    this.#reported = this.#meter.measured;
    this.env.beacon(`${this.#gateway.base}/beacon`, JSON.stringify({ ...this.metrics(), ...quiet, sid: this.#connection.current?.sid }));
  }
}
