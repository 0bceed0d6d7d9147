// One connection for all tabs: who leads, and what tabs tell each other. What
// they ask each other, and how the lead passes on from a tab that is frozen or
// hidden, is in late/lead.ts.
//
// The leader is the holder of one exclusive Web Lock; the others queue for it.
// Every leadership has a term above those before it, and what comes with a lower
// term is not heard. Each tab also holds a lock of its own, which goes with it:
// so a tab that crashed is known to be gone.
import type { Client } from "./client";
import type { Wire } from "./env";
import type { Lead } from "./late/lead";
import type { ConnectionState, Cursor } from "./types";

/** What the leader says every second. */
export interface Beat {
  readonly cursor: Cursor | null;
  readonly visible: boolean;
  readonly state: ConnectionState;
  readonly reason: string;
  readonly flags: Record<string, boolean>;
  readonly offsetMs: number;
  readonly buffering: boolean;
  readonly tabs: number;
}

const BEAT_MS = 1000;

export class Share {
  _leading = false;
  _term = 0;
  _tabs = 1;
  readonly _tab: string;
  readonly _client: Client;
  /** What each of the others wants. */
  readonly _others = new Map<string, readonly string[]>();
  _closed = false;
  /** The leader was heard, as far as this tab follows. */
  _heardAt: number;
  _leaderVisible = true;
  /** This tab spoke as the leader. */
  _beatAt = 0;
  /** Leaves the queue for the lock. */
  _queued = new AbortController();
  /** Lets go the lock. */
  _release = () => {};
  readonly #wire: Wire;
  #request: unknown;
  #forget = () => {}; // lets go the lock that says that this tab lives
  #cancel = () => {};
  #lead: Lead | undefined;

  constructor(client: Client) {
    const { _env: env, _name: name } = client;
    this._client = client;
    this._tab = `${env.random()}`.slice(2);
    this._heardAt = env.now();
    this.#wire = env.wire(name);
    this.#wire.listen((message) => this._closed || this.#hear(message));
    void env.locks!.request(`${name}:${this._tab}`, () => new Promise<void>((done) => (this.#forget = done)));
    this._queue();
    this._announce();
    this.#tick();
  }

  /** What all tabs want. */
  _union(): string[] {
    return [...new Set([this._client._names(), ...this._others.values()].flat())];
  }

  /** Tells what this tab wants, after a change. */
  _announce(): void {
    this._post("sub", { names: this._client._names() });
  }

  _post(t: string, more = {}): void {
    if (!this._closed) this.#wire.post({ t, tab: this._tab, term: this._term, ...more });
  }

  /** Leader: hands on to the others. */
  _tell(t: string, more = {}): void {
    if (this._leading) this._post(t, more);
  }

  /** Leader: says that it is there, and how it is. */
  _beat(): void {
    const { _env: env } = this._client;
    if (!this._leading) return;
    this._beatAt = env.now();
    this._tabs = this._others.size + 1;
    this._post("hb", { ...this._client._report(), visible: env.visible(), tabs: this._tabs });
  }

  _close(): void {
    this._post("bye");
    this._closed = true;
    this._leading = false;
    this.#cancel();
    this.#lead?._close();
    this._queued.abort();
    this._release();
    this.#forget();
    this.#wire.close();
  }

  /** What watches the lead and asks for what was missed, once it is loaded. */
  get _late(): Lead | undefined {
    return (this.#lead ??= this._client._parts && new this._client._parts._Lead(this));
  }

  _queue(): void {
    this._queued = new AbortController();
    this._demand({ signal: this._queued.signal });
  }

  /** Asks for the lock; holds it until it is released or robbed. */
  _demand(options: LockOptions): void {
    const mine = (this.#request = {});
    const over = () => this._closed || mine !== this.#request;
    const holds = () => new Promise<void>((release) => {
      if (over()) return release();
      this._release = release;
      this._leading = true;
      this._term++;
      this._client._connect();
      this._late?._begins();
      this._beat();
    });
    this._client._env.locks!.request(this._client._name, options, holds).catch(() => {
      if (over()) return;
      this._leading = false; // robbed: end the stream before anything else
      this._client._follow();
      this._heardAt = this._client._env.now();
      this._queue();
    });
  }

  #tick(): void {
    this.#cancel = this._client._env.after(BEAT_MS, () => this.#tick());
    this._beat();
    this._late?._tick();
  }

  #hear(m: any): void {
    if (m.t === "sub" || m.t === "bye") {
      if (m.t === "sub") this._others.set(m.tab, m.names);
      else this._others.delete(m.tab);
      if (!this._leading) return;
      if (m.term > this._term) this._term = m.term + 1; // this tab never heard of a leader that it follows
      this._client._union();
      this._beat();
    } else if (m.t === "retry") {
      if (this._leading) this._client.reconnect();
    } else if (/^(ask|past|ping|take)$/.test(m.t)) this._late?._hear(m);
    else if (!this._leading) this.#follow(m);
  }

  /** What a leader says to those who follow. */
  #follow(m: any): void {
    if (m.term < this._term) return m.t === "hb" ? this._announce() : undefined;
    this._heardAt = this._client._env.now();
    if (m.term > this._term) {
      this._term = m.term;
      this._client._feed._catchUp(this._client._feed._position, this._client._names(), true); // what this tab has may have a hole
      this._announce();
      this._late?._askAgain();
    }
    if (m.item) this._client._feed._push(m.item);
    else if (m.names) this._client._deny(m.names);
    else if (m.flags) {
      this._leaderVisible = m.visible;
      this._tabs = m.tabs;
      this._client._heard(m);
    } else this._late?._hear(m);
  }
}
