// The connection: a state machine over streams and polls. It decides when to
// connect, wait and stop, and keeps the position that a next attempt resumes
// from; polls and a second stream are in late/aside.ts. What an event means is its
// sink's business.
import type { Aside } from "./late/aside";
import type { Client } from "./client";
import { isCursor } from "./cursor";
import type { Item, ResetNotice } from "./feed";
import { PADDED, POLL, STREAM, type Mode } from "./mode";
import { HELD, Session, type Cause } from "./session";
import type { ConnectionState, Cursor } from "./types";

const CAP_MS = 300_000;
const CALM_MS = 60_000; // connected for so long, failures before it are forgotten

export class Connection {
  _state: ConnectionState = "idle";
  /** From where each name is read without a hole that was not told. */
  readonly _from = new Map<string, Cursor>();
  _current: Session | undefined;
  _wanted: readonly string[] = [];
  /** The least that a wait grows from; the gateway's `retry`. */
  _baseMs = 1000;
  _mode: Mode = STREAM;
  readonly _client: Client;
  _position: Cursor | null;
  /** Stopped by a flag: only that can bring us back. */
  _off = false;
  /** Failures in a row, which waits grow with. */
  _failures = 0;
  _flags: Record<string, boolean> = {};
  #tried = false;
  /** Came back with a new token, without success since. */
  _renewed = false;
  /** What goes on beside the stream in use. */
  _aside: Aside | undefined;
  #cancel = () => {}; // of the attempt to come

  constructor(client: Client, position: Cursor | null) {
    this._client = client;
    this._position = position;
  }

  /** Says what to read from now on; connects, changes the session or ends it. */
  _want(names: readonly string[]): void {
    this._wanted = names;
    for (const name of this._from.keys()) if (!names.includes(name)) this._from.delete(name);
    if (!names.length) {
      this._drop();
      this._enter("idle");
    } else if (this._state === "idle" || (this._state === "stopped" && !this._off)) this._attempt();
    else if (this._aside?._polling) void this._aside._poll();
    else this._sync();
  }

  /** The page is visible again, or the network changed: acts on what may have gone unnoticed. */
  _wake(network = false): void {
    const env = this._client._env;
    const waiting = this._state === "offline" || this._state === "reconnecting";
    const stale = () => this._current && !this._current._fresh;
    if (!env.online()) {
      if (waiting) this._attempt();
    } else if (stale() || (network && waiting)) {
      this._soon(env.random() * 500, () => {
        if (stale()) this._current!._lose();
        this._attempt();
      });
    }
  }

  _close(): void {
    this._drop();
    this._enter("closed");
  }

  /** Does something beside the stream in use. */
  _beside(run: (aside: Aside) => unknown): void {
    this._client._soon((late) => run((this._aside ??= new late._Aside(this))));
  }

  _attempt(): void {
    this.#cancel();
    if (this._state === "closed" || !this._wanted.length || this._current || this._aside?._polling) return;
    if (!this._client._env.online()) return this._enter("offline");
    if (this.#tried) this._client._count.reconnectAttempts++;
    this.#tried = true;
    if (this._mode > PADDED) {
      let due = true;
      this.#cancel = () => (due = false);
      return this._beside((aside) => due && aside._poll());
    }
    this._enter("connecting");
    this._current = this._open();
  }

  _open(): Session {
    return new Session(this);
  }

  /** Called by a session when its stream opened. */
  _opened(session: Session, told: { flags?: Record<string, boolean>; beaconMs?: number }): void {
    this._renewed = false;
    this._flag(told);
    if (session === this._current) this._use(session);
  }

  _use(session: Session): void {
    this._current = session;
    this._enter("connected");
    this._sync();
  }

  /** Brings the session in use to what is wanted by now. */
  _sync(): void {
    const { _current: session, _wanted: wanted } = this;
    if (session?._sid && (session._asked.size !== wanted.length || !wanted.every((name) => session._asked.has(name)))) {
      this._client._soon((late) => late._sync(this, session));
    }
  }

  /** Takes flags as they are now. */
  _flag({ flags = {}, beaconMs }: { flags?: Record<string, boolean>; beaconMs?: number }): void {
    this._flags = flags;
    this._client._flag(flags, beaconMs);
    if (flags["sse"] === false && this._mode < POLL) this.#fallBack();
  }

  /** Called by a session whose stream is over. */
  _over(session: Session, cause: Cause): void {
    const { _count: count } = this._client;
    if (session !== this._current) return this._aside?._over(session);
    this._current = this._aside?._take();
    if (session._sid && cause.type !== "drain") count.totalDisconnects++;
    if (session._sid && this._client._env.now() - session._openedAt >= CALM_MS) {
      this._failures = 0;
      if (!count.buffering) this._mode = STREAM;
    }
    if (!this._current) return this._fail(cause);
    this._enter(this._current._sid ? "connected" : "connecting");
    this._sync();
  }

  _fail(cause: Cause): void {
    const { status, type, retryMs } = cause;
    if (type === HELD) this._held(true);
    else if (status === 401 || type === "auth-expired") this.#renew(type);
    else if (cause.transport === "poll") this.#fallBack();
    else if (retryMs === null || !cause.transient) this.#stop(type || `${status}`);
    else if (type === "flag-off") this.#fallBack();
    else if (type === "timeout" && this._mode < POLL) this._beside((aside) => aside._probe());
    else if (type === "drain" && !this._failures++) this._attempt();
    else {
      if (type === "auth-revoked") this._client._renew(); // what is still allowed, the next answer says
      this._later(retryMs);
    }
  }

  /** Tries once with what small buffers let through, then goes on by long-poll. */
  _held(sure: boolean): void {
    this._client._count.buffering ||= sure;
    this._mode = this._mode ? POLL : PADDED;
    this._attempt();
  }

  /** Comes back at once with a new token, but only once without success in between. */
  #renew(reason: string): void {
    if (this._renewed || !this._client._renew()) return this.#stop(reason);
    this._renewed = true;
    this._attempt();
  }

  _wait(leastMs = 0): number {
    const most = Math.min(CAP_MS, this._baseMs * 2 ** this._failures++);
    return Math.max(250, leastMs, this._client._env.random() * most);
  }

  _later(leastMs?: number): void {
    this._enter(this._client._env.online() ? "reconnecting" : "offline");
    this._soon(this._wait(leastMs), () => this._attempt());
  }

  /** Runs next, in place of what was to be run next. */
  _soon(waitMs: number, run: () => void): void {
    this.#cancel();
    this.#cancel = this._client._env.after(waitMs, run);
  }

  #stop(reason: string): void {
    this._drop();
    this._enter("stopped", reason);
    this._off = reason === "flag-off";
    if (this._off) this._beside((aside) => aside._recheck());
  }

  /** Goes on by long-poll. */
  #fallBack(): void {
    this._mode = POLL;
    this._drop();
    this._attempt();
  }

  /** Notes from where names are read; those that were read before have no hole. */
  _reads(names: Iterable<string>, from: Cursor | null): void {
    if (isCursor(from)) for (const name of names) if (!this._from.has(name)) this._from.set(name, from);
  }

  /** After a reset of everything the position is where the gateway goes on. */
  _reset(reset: ResetNotice): void {
    const { all, channels, resumeAt } = reset;
    if (!isCursor(resumeAt) || !Array.isArray(channels)) return void this._client._count.malformed++;
    if (all) this._position = resumeAt;
    for (const name of all ? this._from.keys() : channels.map((c) => c.channel)) this._from.set(name, resumeAt);
    this._item({ reset });
  }

  _item(item: Item): void {
    this._client._item(this, item);
  }

  /** Ends all that runs or waits. */
  _drop(): void {
    this.#cancel();
    this._aside?._close();
    this._current?._close();
    this._current = undefined;
  }

  _enter(state: ConnectionState, reason = ""): void {
    if (this._state === "closed") return;
    const changed = state !== this._state;
    this._state = state;
    if (changed) this._client._refresh(this, reason);
    this._aside?._settle();
  }
}
