// One connection for all tabs: who leads, what tabs tell each other, and how the
// lead passes on when its tab closes, crashes, freezes or is hidden.
//
// The leader is the holder of one exclusive Web Lock; the others queue for it.
// Every leadership has a term above those before it, and what comes with a lower
// term is not heard. Each tab also holds a lock of its own, which goes with it:
// so a tab that crashed is known to be gone.
import type { Past, Item } from "./feed";
import type { Env, Wire } from "./env";
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

/** The tab that shares. */
export interface Host {
  /** Holds the lock from now on: runs the connection, if it does not yet. */
  lead(): void;
  /** Another tab leads, or shall: ends the connection. */
  follow(): void;
  /** Connects beside the leader, and calls `ready` when that has caught up. */
  prepare(ready: () => void): void;
  item(item: Item): void;
  denied(names: readonly string[]): void;
  beat(beat: Beat): void;
  /** Another leader than before: what this tab has may have a hole. */
  newLeader(): void;
  /** What all tabs want has changed. */
  union(): void;
  names(): readonly string[];
  report(): Omit<Beat, "tabs" | "visible">;
  retry(): void;
  remember(cursor: Cursor | null, names: readonly string[]): Promise<Past | null>;
}

const BEAT_MS = 1000;
const SILENT_MS = 5000;
const SILENT_HIDDEN_MS = 20_000; // timers of hidden tabs are slow: their chunks set the pace
const PING_MS = 1000;
const PRUNE_BEATS = 60;
const HAND_OVER_MS = 3000;
const HIDDEN_MS = 1000; // before a hidden leader offers its place

export class Share {
  leading = false;
  term = 0;
  tabs = 1;
  readonly #tab: string;
  readonly #wire: Wire;
  #others = new Map<string, readonly string[]>();
  #asks = new Map<number, { cursor: Cursor | null; names: readonly string[]; done: (past: Past | null) => void }>();
  #asked = 0;
  #heardAt: number;
  #leaderVisible = true;
  #pingAt = 0;
  #beats = 0;
  #beatAt = 0;
  #offered = false;
  #closed = false;
  #request = {};
  #release = () => {};
  #leaveQueue = () => {};
  #forget = () => {}; // lets go the lock that says that this tab lives
  #cancel = () => {};
  #cancelOffer = () => {};

  constructor(readonly env: Env, readonly name: string, readonly host: Host) {
    this.#tab = `${env.random()}`.slice(2);
    this.#heardAt = env.now();
    this.#wire = env.wire(name);
    this.#wire.listen((message) => this.#closed || this.#hear(message));
    void env.locks!.request(`${name}:${this.#tab}`, () => new Promise<void>((done) => (this.#forget = done)));
    this.#queue();
    this.announce();
    this.#tick();
  }

  /** What all tabs want. */
  union(): string[] {
    return [...new Set([...this.host.names(), ...[...this.#others.values()].flat()])];
  }

  /** Tells what this tab wants, after a change. */
  announce(): void {
    this.#post({ t: "sub", tab: this.#tab, term: this.term, names: this.host.names() });
  }

  /** Leader: hands on to the others. */
  tell(item: Item): void {
    if (this.leading) this.#post({ t: "item", term: this.term, item });
  }

  tellDenied(names: readonly string[]): void {
    if (this.leading) this.#post({ t: "denied", term: this.term, names });
  }

  /** Leader: says that it is there, and how it is. */
  beat(): void {
    if (!this.leading) return;
    this.#beatAt = this.env.now();
    this.tabs = this.#others.size + 1;
    this.#post({ t: "hb", term: this.term, ...this.host.report(), visible: this.env.visible(), tabs: this.tabs });
  }

  /** Follower: asks the leader what these names had after the cursor. */
  past(cursor: Cursor | null, names: readonly string[]): Promise<Past | null> {
    if (this.#closed) return Promise.resolve(null);
    if (this.leading) { // a leader's own memory begins where it began, so it only waits; it may be robbed meanwhile
      return this.host.remember(cursor, names).then(() => (this.leading ? null : this.past(cursor, names)));
    }
    return new Promise((done) => {
      const n = ++this.#asked;
      this.#asks.set(n, { cursor, names, done });
      this.#ask(n);
    });
  }

  /** Follower: asks the leader to try now. */
  retry(): void {
    this.#post({ t: "retry" });
  }

  /** The page was hidden or shown. */
  visibility(): void {
    this.#cancelOffer();
    if (this.leading && !this.env.visible()) {
      this.#cancelOffer = this.env.after(HIDDEN_MS, () => {
        this.#offered = true;
        this.#post({ t: "offer", term: this.term });
      });
    }
    this.beat();
  }

  /** The page is about to be frozen: another tab leads, if there is one. */
  yield(): void {
    if (!this.leading) return;
    this.leading = false;
    this.host.follow();
    this.#queue(); // behind the others; before the lock is let go, or nobody would have asked for it
    this.#release();
  }

  /** Says good-bye; a page that comes back from the browser's cache announces itself again. */
  leave(): void {
    this.#post({ t: "bye", tab: this.#tab });
  }

  close(): void {
    this.leave();
    this.#closed = true;
    this.leading = false;
    this.#cancel();
    this.#cancelOffer();
    this.#leaveQueue();
    this.#release();
    this.#forget();
    for (const { done } of this.#asks.values()) done(null);
    this.#wire.close();
  }

  #post(message: { t: string; [key: string]: unknown }): void {
    if (!this.#closed) this.#wire.post(message);
  }

  #queue(): void {
    const leave = new AbortController();
    this.#leaveQueue = () => leave.abort();
    this.#demand({ signal: leave.signal });
  }

  #steal(): void {
    this.#leaveQueue();
    this.#demand({ steal: true });
  }

  /** Asks for the lock; holds it until it is released or robbed. */
  #demand(options: LockOptions): void {
    const mine = (this.#request = {});
    const holds = () => new Promise<void>((release) => {
      if (this.#closed || mine !== this.#request) return release();
      this.#release = release;
      this.#lead();
    });
    this.env.locks!.request(this.name, options, holds).catch(() => {
      if (this.#closed || mine !== this.#request) return;
      this.leading = false; // robbed: end the stream before anything else
      this.host.follow();
      this.#heardAt = this.env.now();
      this.#queue();
    });
  }

  #lead(): void {
    this.leading = true;
    this.term++;
    this.#offered = false;
    this.#beats = 0;
    this.host.lead();
    for (const [n, { cursor, names, done }] of this.#asks) {
      this.#asks.delete(n);
      void this.past(cursor, names).then(done); // there is nobody else to ask now
    }
    this.beat();
    void this.#prune();
  }

  #ask(n: number): void {
    const { cursor, names } = this.#asks.get(n)!;
    this.#post({ t: "ask", tab: this.#tab, n, cursor, names });
  }

  #tick(): void {
    this.#cancel = this.env.after(BEAT_MS, () => this.#tick());
    if (this.leading) {
      if (++this.#beats % PRUNE_BEATS === 0) void this.#prune();
      return this.beat();
    }
    const now = this.env.now();
    if (!this.env.visible() || now - this.#heardAt < (this.#leaderVisible ? SILENT_MS : SILENT_HIDDEN_MS)) {
      this.#pingAt = 0;
    } else if (!this.#pingAt) {
      this.#pingAt = now;
      this.#post({ t: "ping" });
    } else if (now - this.#pingAt >= PING_MS) {
      this.#heardAt = now;
      this.#steal();
    }
  }

  /** Forgets tabs that are gone without a word. */
  async #prune(): Promise<void> {
    const { held } = await this.env.locks!.query();
    const alive = new Set(held?.map((lock) => lock.name));
    let gone = false;
    for (const tab of this.#others.keys()) {
      if (!alive.has(`${this.name}:${tab}`)) gone = this.#others.delete(tab) || gone;
    }
    if (gone && this.leading) this.host.union();
  }

  #hear(m: any): void {
    switch (m.t) {
      case "sub":
        this.#others.set(m.tab, m.names);
        if (!this.leading) return;
        if (m.term > this.term) this.term = m.term + 1; // this tab never heard of a leader that it follows
        this.host.union();
        return this.beat();
      case "bye":
        this.#others.delete(m.tab);
        return this.leading ? this.host.union() : undefined;
      case "ping": // a frozen page may hear this, though it reads nothing: then it has not said a word for long
        return this.env.now() - this.#beatAt < SILENT_MS ? this.beat() : undefined;
      case "retry":
        return this.leading ? this.host.retry() : undefined;
      case "ask":
        return this.leading ? void this.#answer(m) : undefined;
      case "take":
        if (!this.leading || !this.#offered) return;
        this.#offered = false;
        return this.#post({ t: "give", tab: m.tab, term: this.term });
      case "past":
        if (m.tab !== this.#tab) return;
        this.#asks.get(m.n)?.done(m.past);
        this.#asks.delete(m.n);
        return;
      default:
        if (!this.leading) this.#follow(m);
    }
  }

  /** What a leader says to those who follow. */
  #follow(m: any): void {
    if (m.term < this.term) return m.t === "hb" ? this.announce() : undefined;
    this.#heardAt = this.env.now();
    this.#pingAt = 0;
    if (m.term > this.term) {
      this.term = m.term;
      this.host.newLeader();
      this.announce();
      for (const n of this.#asks.keys()) this.#ask(n);
    }
    if (m.t === "hb") {
      this.#leaderVisible = m.visible;
      this.tabs = m.tabs;
      this.host.beat(m);
    } else if (m.t === "item") this.host.item(m.item);
    else if (m.t === "denied") this.host.denied(m.names);
    else if (m.t === "offer" && this.env.visible()) this.#post({ t: "take", tab: this.#tab });
    else if (m.t === "give" && m.tab === this.#tab) this.#takeOver();
  }

  /** Connects beside a leader that is hidden, and takes its place when that works in time. */
  #takeOver(): void {
    let open = true;
    this.env.after(HAND_OVER_MS, () => {
      if (!open || this.leading || this.#closed) return;
      open = false;
      this.host.follow();
    });
    this.host.prepare(() => {
      if (open && !this.leading) this.#steal();
      open = false;
    });
  }

  async #answer({ tab, n, cursor, names }: { tab: string; n: number; cursor: Cursor | null; names: string[] }): Promise<void> {
    const past = await this.host.remember(cursor, names);
    if (this.leading) this.#post({ t: "past", tab, n, term: this.term, past });
  }
}
