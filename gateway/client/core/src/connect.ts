// The connection: a state machine over streams and polls. It decides when to
// connect, wait, move and stop, and keeps the position that a next attempt
// resumes from. What an event means is its sink's business.
import { isCursor, later } from "./cursor";
import { RealtimeError, type Gateway } from "./http";
import { Session } from "./session";
import type { Cause } from "./stream";
import type { ConnectionState, Cursor, RealtimeEvent, Reset } from "./types";

/** Elements between two positions: all that the wanted channels have there. */
export interface Batch {
  readonly prev: Cursor | null;
  readonly cursor: Cursor;
  readonly elements: readonly RealtimeEvent[];
  /** False for what is replayed. */
  readonly live: boolean;
}

export interface ResetNotice {
  readonly reason: Reset["reason"];
  readonly channels: readonly { readonly channel: string; readonly evictedUpto?: Cursor }[];
  readonly all?: boolean;
  readonly resumeAt: Cursor;
}

export interface GapNotice {
  readonly reason: "slow" | "rate" | "conflate";
  readonly channels: readonly { readonly channel: string; readonly lost: number | null }[];
}

export interface Sink {
  batch(batch: Batch): void;
  reset(notice: ResetNotice): void;
  gap(notice: GapNotice): void;
  denied(names: readonly string[]): void;
  /** `beaconMs` is how often reports are wanted, where the gateway said. */
  flags(flags: Record<string, boolean>, beaconMs?: number): void;
  /** Server time, which came now to a request of then. */
  clock(serverMs: number, roundTripMs: number): void;
  /** The gateway is there, though it may have nothing to tell. */
  beat(): void;
  malformed(): void;
  state(state: ConnectionState, reason: string): void;
}

const CAP_MS = 300_000;
const CALM_MS = 60_000; // connected for so long, failures before it are forgotten
const POLL_SECONDS = 25;
const RETRY_STREAM_MS = 600_000; // while polling
const RECHECK_MS = 60_000; // while a flag has stopped us

export class Connection {
  state: ConnectionState = "idle";
  disconnects = 0;
  attempts = 0;
  /** A proxy held back a stream. */
  buffering = false;
  /** When the stream in use opened, or the first poll was answered; 0 without. */
  upSince = 0;
  /** From where each name is read without a hole that was not told. */
  readonly from = new Map<string, Cursor>();
  current: Session | undefined;
  wanted: readonly string[] = [];

  #next: Session | undefined;
  #mode: "stream" | "padded" | "poll" = "stream";
  #polling: AbortController | undefined;
  #failures = 0;
  #base = 1000;
  #renewed = false;
  #off = false; // stopped by a flag: only that can bring us back
  #flags: Record<string, boolean> = {};
  #cancel = () => {}; // of the attempt to come
  #cancelMove = () => {}; // of the move to come
  #cancelStream = () => {}; // of the stream that polling tries
  #waiters: { names: readonly string[]; done: () => void }[] = [];

  constructor(readonly gateway: Gateway, readonly sink: Sink, public position: Cursor | null) {}

  /** Says what to read from now on; connects, changes the session or ends it. */
  want(names: readonly string[]): void {
    this.wanted = names;
    for (const name of this.from.keys()) if (!names.includes(name)) this.from.delete(name);
    if (!names.length) {
      this.#drop();
      this.#enter("idle");
    } else if (this.state === "idle" || (this.state === "stopped" && !this.#off)) this.#attempt();
    else if (this.#polling) void this.#poll();
    else this.current?.sync();
  }

  /** Resolves when a stream or poll reads all of these names, or nothing will any more. */
  covered(names: readonly string[]): Promise<void> {
    return new Promise((done) => {
      if (this.state === "closed") return done();
      this.#waiters.push({ names, done });
      this.settle();
    });
  }

  /** Lets go those who wait for names that are read now. */
  settle(): void {
    const asked = this.#polling && this.position ? new Set(this.wanted) : this.current?.sid ? this.current.asked : null;
    if (!asked) return;
    this.#waiters = this.#waiters.filter(({ names, done }) => {
      const ready = names.every((name) => asked.has(name));
      if (ready) done();
      return !ready;
    });
  }

  /** Tries now, whatever it was waiting for. */
  retry(): void {
    this.#failures = 0;
    this.#renewed = false;
    if (!this.current && !this.#polling) this.#attempt();
  }

  /** The page is visible again, or the network changed: acts on what may have gone unnoticed. */
  wake(network: boolean): void {
    const { env } = this.gateway;
    const waiting = this.state === "offline" || this.state === "reconnecting";
    if (!env.online()) return waiting ? this.#attempt() : undefined;
    const stale = this.current && !this.current.stream.fresh();
    if (!stale && !(network && waiting)) return;
    this.#cancel();
    this.#cancel = env.after(env.random() * 500, () => {
      if (this.current && !this.current.stream.fresh()) this.current.stream.drop();
      if (!this.current) this.#attempt();
    });
  }

  close(): void {
    this.#drop();
    this.#enter("closed");
    for (const { done } of this.#waiters.splice(0)) done();
  }

  /** Moves to a second connection, and leaves this one when that has caught up. */
  move(inMs = 0): void {
    this.#cancelMove();
    this.#cancelMove = this.gateway.env.after(inMs, () => {
      if (this.current && !this.#next) this.#next = this.#open();
    });
  }

  #open(): Session {
    return new Session(this, this.#mode === "padded" ? { pad: 1, compress: "off" } : {});
  }

  #attempt(): void {
    this.#cancel();
    if (this.state === "closed" || !this.wanted.length || this.current || this.#polling) return;
    if (!this.gateway.env.online()) return this.#enter("offline");
    this.attempts++;
    if (this.#mode === "poll") return void this.#poll();
    this.#enter("connecting");
    this.current = this.#open();
  }

  /** Called by a session when its stream opened. */
  opened(session: Session, flags: Record<string, boolean>, beaconMs?: number): void {
    this.#renewed = false;
    this.#flags = flags; // this stream was opened by them
    this.flags(flags, beaconMs);
    if (session !== this.current) return;
    this.upSince = this.gateway.env.now();
    this.#enter("connected");
    session.sync();
  }

  /** Called by a session that has caught up: if it is the second one, it takes over. */
  caughtUp(session: Session): void {
    if (session !== this.#next) return;
    const old = this.current;
    this.#next = undefined;
    this.current = session;
    this.#stopPolling();
    if (this.#mode === "poll") this.#mode = "stream";
    old?.stream.close();
    this.upSince = this.gateway.env.now();
    this.#enter("connected");
    session.sync();
  }

  deny(names: readonly string[]): void {
    for (const name of names) this.gateway.refused.add(name);
    this.sink.denied(names);
  }

  setRetry(milliseconds: number): void {
    this.#base = Math.max(1000, milliseconds);
  }

  flags(flags: Record<string, boolean>, beaconMs?: number): void {
    const before = this.#flags;
    this.#flags = flags;
    this.sink.flags(flags, beaconMs);
    const { env } = this.gateway;
    const changed = (name: string) => (before[name] === false) !== (flags[name] === false);
    if (this.current?.sid && (changed("compression") || changed("zstd"))) this.move(env.random() * 1000);
    if (flags["sse"] === false && this.#mode !== "poll") this.#fallBack();
  }

  /** Called by a session whose stream is over. */
  over(session: Session, cause: Cause): void {
    if (session === this.#next) {
      this.#next = undefined;
      if (this.current) this.move(this.#wait(0));
      else if (this.#polling) this.#tryStreamLater();
      return;
    }
    if (session !== this.current) return;
    this.current = this.#next;
    this.#next = undefined;
    if (session.sid && !("end" in cause && cause.end.reason === "drain")) this.disconnects++;
    if (session.sid && this.gateway.env.now() - session.openedAt >= CALM_MS) {
      this.#failures = 0;
      if (!this.buffering) this.#mode = "stream";
    }
    if (!this.current) return this.#fail(cause);
    this.#enter(this.current.sid ? "connected" : "connecting");
    this.current.sync();
  }

  #fail(cause: Cause): void {
    this.upSince = 0;
    if ("held" in cause) return this.#held(true);
    if ("end" in cause) return this.#ended(cause.end);
    const { error } = cause;
    if (error.transport === "poll") return this.#fallBack();
    if (error.status === 401) return this.#renew(error.type);
    if (!error.transient) return this.#stop(error.type || `${error.status}`);
    if (error.type === "timeout" && this.#mode !== "poll") return void this.#probe();
    this.#later(error.retryMs);
  }

  /** No answer to a stream: some proxies hold back even its beginning. Then a short answer comes. */
  async #probe(): Promise<void> {
    const answered = await this.gateway.poll(this.wanted, this.position, 0).then(() => true, () => false);
    if (this.state !== "connecting" || this.current) return;
    if (answered) this.#held(this.#mode === "padded"); // the first time the network may have been at fault
    else this.#later(0);
  }

  /** Tries once with what small buffers let through, then goes on by long-poll. */
  #held(sure: boolean): void {
    this.buffering ||= sure;
    this.#mode = this.#mode === "padded" ? "poll" : "padded";
    this.#attempt();
  }

  #ended({ reason, retryMs }: { reason: string; retryMs: number | null }): void {
    if (reason === "auth-expired") return this.#renew(reason);
    if (retryMs === null) return this.#stop(reason);
    if (reason === "flag-off") return this.#fallBack();
    if (reason === "auth-revoked") this.gateway.renew(); // what is still allowed, the next answer says
    if (reason === "drain" && !this.#failures++) return this.#attempt();
    this.#later(retryMs);
  }

  /** Comes back at once with a new token, but only once without success in between. */
  #renew(reason: string): void {
    if (this.#renewed || !this.gateway.renew()) return this.#stop(reason);
    this.#renewed = true;
    this.#attempt();
  }

  #wait(leastMs: number): number {
    const most = Math.min(CAP_MS, this.#base * 2 ** this.#failures++);
    return Math.max(250, leastMs, this.gateway.env.random() * most);
  }

  #later(leastMs: number): void {
    this.#enter(this.gateway.env.online() ? "reconnecting" : "offline");
    this.#cancel();
    this.#cancel = this.gateway.env.after(this.#wait(leastMs), () => this.#attempt());
  }

  #stop(reason: string): void {
    this.#drop();
    this.#enter("stopped", reason);
    this.#off = reason === "flag-off";
    if (this.#off) this.#recheck();
  }

  #recheck(): void {
    const { env } = this.gateway;
    this.#cancel = env.after(RECHECK_MS * (0.8 + env.random() * 0.4), async () => {
      const back = await this.gateway.poll(this.wanted, null, 0).then(() => true, () => false);
      if (this.state !== "stopped") return;
      if (!back) return this.#recheck();
      this.#off = false;
      this.#attempt();
    });
  }

  /** Goes on by long-poll. */
  #fallBack(): void {
    this.#mode = "poll";
    this.#drop();
    this.#attempt();
  }

  #tryStreamLater(): void {
    const { env } = this.gateway;
    this.#cancelStream();
    this.#cancelStream = env.after(RETRY_STREAM_MS * (0.8 + env.random() * 0.4), () => {
      this.#mode = "stream";
      this.#next = this.#open();
      this.#mode = "poll";
    });
  }

  async #poll(): Promise<void> {
    const again = !!this.#polling;
    this.#polling?.abort();
    const stop = (this.#polling = new AbortController());
    if (!again) this.#tryStreamLater();
    try {
      for (let waitSeconds = 0; !stop.signal.aborted; waitSeconds = POLL_SECONDS) { // the first answer says that it works
        const told = this.gateway.refused.size;
        const answer = await this.gateway.poll(this.wanted, this.position, waitSeconds, stop.signal);
        if (stop.signal.aborted) return;
        this.#failures = 0;
        this.#renewed = false;
        this.upSince ||= this.gateway.env.now();
        this.#enter("polling");
        if (this.gateway.refused.size > told) this.sink.denied([...this.gateway.refused].slice(told));
        this.take(answer.events, answer.controls, answer.cursor, !answer.more);
        this.sink.beat();
        if (answer.retryMs > 0) await new Promise<void>((done) => this.gateway.env.after(answer.retryMs, done));
      }
    } catch (error) {
      if (stop.signal.aborted) return;
      this.#stopPolling();
      this.#fail({ error: error as RealtimeError });
    }
  }

  /** Hands on what a poll answered. */
  take(events: RealtimeEvent[], controls: { event: string; data: any }[], cursor: Cursor, live: boolean): void {
    for (const { event, data } of controls) if (event === "sg.reset") this.reset(data);
    const prev = this.position;
    this.position = later(prev, cursor);
    this.reads(this.wanted, prev ?? cursor);
    this.sink.batch({ prev, cursor, elements: events, live });
  }

  /** Notes from where names are read; those that were read before have no hole. */
  reads(names: readonly string[], from: Cursor | null): void {
    if (isCursor(from)) for (const name of names) if (!this.from.has(name)) this.from.set(name, from);
  }

  /** After a reset of everything the position is where the gateway goes on. */
  reset(notice: ResetNotice): void {
    const { all, channels, resumeAt } = notice;
    if (!isCursor(resumeAt) || !Array.isArray(channels)) return this.sink.malformed();
    if (all) this.position = resumeAt;
    for (const name of all ? [...this.from.keys()] : channels.map((c) => c.channel)) this.from.set(name, resumeAt);
    this.sink.reset(notice);
  }

  #stopPolling(): void {
    this.#cancelStream();
    this.#polling?.abort();
    this.#polling = undefined;
  }

  /** Ends all that runs or waits. */
  #drop(): void {
    this.#cancel();
    this.#cancelMove();
    this.#stopPolling();
    this.#next?.stream.close();
    this.current?.stream.close();
    this.#next = this.current = undefined;
    this.upSince = 0;
  }

  #enter(state: ConnectionState, reason = ""): void {
    if (this.state === "closed") return;
    const changed = state !== this.state;
    this.state = state;
    if (changed) this.sink.state(state, reason);
    this.settle();
  }
}
