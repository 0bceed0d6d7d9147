// What tabs ask each other when they missed something, how the lead passes on
// when its tab is frozen or hidden, and how tabs that crashed are forgotten.
import { covered } from "./aside";
import type { Connection } from "../connect";
import type { Item, Past } from "../feed";
import { Ring } from "./ring";
import type { Share } from "../share";
import type { Cursor } from "../types";

const SILENT_MS = 5000;
const SILENT_HIDDEN_MS = 20_000; // timers of hidden tabs are slow: their chunks set the pace
const PING_MS = 1000;
const PRUNE_MS = 60_000;
const HAND_OVER_MS = 3000;
const HIDDEN_MS = 1000; // before a hidden leader offers its place

interface Question {
  readonly cursor: Cursor | null;
  readonly names: readonly string[];
}

export class Lead {
  readonly #share: Share;
  readonly #env;
  #asks = new Map<number, [Question, done: (past: Past | null) => void]>();
  #asked = 0;
  #ring: Ring;
  #ringOf: Connection | undefined;
  #pingAt = 0;
  #prunedAt = 0;
  #offered = false;
  #cancelOffer = () => {};

  constructor(share: Share) {
    this.#share = share;
    this.#env = share._client._env;
    this.#ring = new Ring(share._client, null);
  }

  /** Once a second: a leader forgets tabs that are gone without a word, the others watch it. */
  _tick(): void {
    const share = this.#share;
    const now = this.#env.now();
    if (share._leading) {
      if (now - this.#prunedAt < PRUNE_MS) return;
      this.#prunedAt = now;
      return void this.#prune();
    }
    if (!this.#env.visible() || now - share._heardAt < (share._leaderVisible ? SILENT_MS : SILENT_HIDDEN_MS)) this.#pingAt = 0;
    else if (!this.#pingAt) {
      this.#pingAt = now;
      share._post("ping");
    } else if (now - this.#pingAt >= PING_MS) {
      share._heardAt = now;
      this.#steal();
    }
  }

  /** The tab leads from now on. */
  _begins(): void {
    this.#prunedAt = 0;
    this.#offered = false;
    const asks = [...this.#asks.values()];
    this.#asks.clear();
    for (const [{ cursor, names }, done] of asks) void this._past(cursor, names).then(done); // there is nobody else to ask now
  }

  _hear(m: any): void {
    const share = this.#share;
    const { t, tab, n } = m;
    const mine = tab === share._tab;
    if (t === "ping") {
      // A frozen page may hear this, though it reads nothing: then it has not said a word for long.
      if (this.#env.now() - share._beatAt < SILENT_MS) share._beat();
    } else if (t === "ask" && share._leading) void this.#remember(m).then((past) => share._tell("past", { tab, n, past }));
    else if (t === "past" && mine) {
      this.#asks.get(n)?.[1](m.past);
      this.#asks.delete(n);
    } else if (t === "take" && share._leading && this.#offered) {
      this.#offered = false;
      share._post("give", { tab });
    } else if (t === "offer" && this.#env.visible()) share._post("take");
    else if (t === "give" && mine) this.#takeOver();
  }

  /** Asks the leader what these names had after the cursor. */
  async _past(cursor: Cursor | null, names: readonly string[]): Promise<Past | null> {
    const share = this.#share;
    if (share._closed) return null;
    if (share._leading) { // a leader's own memory begins where it began, so it only waits; it may be robbed meanwhile
      await this.#remember({ cursor, names });
      return share._leading ? null : this._past(cursor, names);
    }
    return new Promise((done) => {
      this.#asks.set(++this.#asked, [{ cursor, names }, done]);
      this.#ask(this.#asked);
    });
  }

  /** There is another leader. */
  _askAgain(): void {
    for (const n of this.#asks.keys()) this.#ask(n);
  }

  /** Remembers what this tab's connection told. */
  _note(connection: Connection, item: Item): void {
    if ("batch" in item) this.#memory(connection, item.batch.prev)._add(item.batch, this.#env.now());
    else if ("reset" in item && item.reset.all) this.#ringOf = undefined;
  }

  /** The page was hidden or shown. */
  _visibility(): void {
    this.#cancelOffer();
    if (!this.#share._leading || this.#env.visible()) return;
    this.#cancelOffer = this.#env.after(HIDDEN_MS, () => {
      this.#offered = true;
      this.#share._tell("offer");
    });
  }

  /** The page is about to be frozen: another tab leads, if there is one. */
  _yield(): void {
    const share = this.#share;
    if (!share._leading) return;
    share._leading = false;
    share._client._follow();
    share._queue(); // behind the others; before the lock is let go, or nobody would have asked for it
    share._release();
  }

  _close(): void {
    this.#cancelOffer();
    for (const [, done] of this.#asks.values()) done(null);
  }

  #ask(n: number): void {
    this.#share._post("ask", { n, ...this.#asks.get(n)![0] });
  }

  #memory(connection: Connection, start: Cursor | null): Ring {
    if (connection !== this.#ringOf) this.#ring = new Ring(this.#share._client, start);
    this.#ringOf = connection;
    return this.#ring;
  }

  /** What came after the cursor, once these names are read; null when that is not known for all of them. */
  async #remember({ cursor, names }: Question): Promise<Past | null> {
    const connection = this.#share._client._connection;
    if (!connection) return null;
    await covered(connection, names);
    const known = (name: string) => {
      const from = connection._from.get(name);
      return from && !this.#share._client._before(cursor!, from);
    };
    return cursor && names.every(known) ? this.#memory(connection, connection._position)._after(cursor) : null;
  }

  /** Takes the lead from a tab that is silent, or that gives it away. */
  #steal(): void {
    this.#share._queued.abort();
    this.#share._demand({ steal: true });
  }

  async #prune(): Promise<void> {
    const share = this.#share;
    const { held } = await this.#env.locks!.query();
    const alive = new Set(held?.map((lock) => lock.name));
    const gone = [...share._others.keys()].filter((tab) => !alive.has(`${share._client._name}:${tab}`));
    for (const tab of gone) share._others.delete(tab);
    if (gone.length && share._leading) share._client._union();
  }

  /** Connects beside a leader that is hidden, and takes its place when that works in time. */
  #takeOver(): void {
    const share = this.#share;
    const connection = share._client._connect(true);
    let open = true;
    const once = (run: () => void) => {
      if (open && !share._leading && !share._closed) run();
      open = false;
    };
    this.#env.after(HAND_OVER_MS, () => once(() => share._client._follow()));
    void covered(connection, connection._wanted).then(() => once(() => this.#steal()));
  }
}
