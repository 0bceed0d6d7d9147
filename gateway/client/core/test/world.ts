// A world to test the client in: one clock that tests move, chance from a seed,
// tabs with locks and broadcast channels between them, and a network to the
// gateway of gateway.ts that can be cut. Nothing here waits for real time.
import { createClient } from "../src/client";
import type { Env } from "../src/env";
import late, { type Late } from "../src/late/index";
import type { ClientOptions, RealtimeClient } from "../src/types";
import { FakeGateway } from "./gateway";

interface Timer {
  at: number;
  order: number;
  run: () => void;
  tab: Tab | undefined;
}

/** Lets promises and streams settle; they need no clock. */
export async function settle(rounds = 4): Promise<void> {
  for (let i = 0; i < rounds; i++) await new Promise((done) => setImmediate(done));
}

export class World {
  now = 1_700_000_000_000;
  readonly gateway = new FakeGateway(this);
  readonly tabs: Tab[] = [];
  /** Answers before the gateway does, where it returns something. */
  intercept: (url: URL, init: RequestInit) => Response | Promise<Response> | undefined = () => undefined;
  /** Every request so far, as `METHOD /path?query`. */
  readonly requests: string[] = [];
  /** Loads what the first event does not need. */
  late = async (): Promise<Late> => late;
  locks = new Locks();
  #timers: Timer[] = [];
  #order = 0;
  #seed: number;

  constructor(seed = 1) {
    this.#seed = seed;
  }

  /** mulberry32: enough chance for tests, the same in every run. */
  random = (): number => {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };

  after(milliseconds: number, run: () => void, tab?: Tab): () => void {
    const timer = { at: this.now + milliseconds, order: this.#order++, run, tab };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((t) => t !== timer));
  }

  /** Moves the clock, running what falls due in order. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.now + milliseconds;
    await settle();
    for (;;) {
      const due = this.#timers.filter((t) => t.at <= end && !t.tab?.frozen).sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((t) => t !== due);
      this.now = Math.max(this.now, due.at);
      if (!due.tab?.dead) due.run();
      await settle(2);
    }
    this.now = end;
    await settle();
  }

  tab(options: ClientOptions = {}): Tab {
    const tab = new Tab(this, options);
    this.tabs.push(tab);
    return tab;
  }

  get timers(): number {
    return this.#timers.length;
  }
}

/** One page. Its client and what reaches it end when it dies, and wait while it is frozen. */
export class Tab {
  dead = false;
  frozen = false;
  hidden = false;
  offline = false;
  /** Without Web Locks, as on an insecure origin. */
  static readonly alone = { share: false } satisfies ClientOptions;
  readonly client: RealtimeClient;
  readonly storage: Map<string, string>;
  readonly beacons: string[] = [];
  readonly streams = new Set<() => void>(); // cuts of what this tab receives
  #listeners = new Map<string, Set<() => void>>();
  #thaw: (() => void)[] = [];
  #wires = new Set<{ name: string; heard: (message: unknown) => void }>();

  constructor(readonly world: World, readonly options: ClientOptions, storage = new Map<string, string>()) {
    this.storage = storage;
    this.client = createClient(options, this.env());
  }

  /** The page again, with what its tab remembers. */
  reload(options = this.options): Tab {
    this.fire("pagehide");
    this.close();
    const tab = new Tab(this.world, options, this.storage);
    this.world.tabs.push(tab);
    return tab;
  }

  fire(event: string): void {
    for (const run of [...(this.#listeners.get(event) ?? [])]) run();
  }

  /** The tab is gone, with or without a last word. */
  close(): void {
    this.dead = true;
    for (const cut of [...this.streams]) cut();
    this.world.locks.drop(this);
    this.#wires.clear();
  }

  crash = this.close;

  hide(hidden = true): void {
    this.hidden = hidden;
    this.fire("visibilitychange");
  }

  freeze(): void {
    this.frozen = true;
  }

  thaw(): void {
    this.frozen = false;
    for (const run of this.#thaw.splice(0)) run();
  }

  /** Runs now, or when the tab is thawed; never when it is dead. */
  deliver(run: () => void): void {
    if (this.dead) return;
    if (this.frozen) this.#thaw.push(() => this.deliver(run));
    else run();
  }

  hear(name: string, message: unknown): void {
    for (const wire of this.#wires) if (wire.name === name) this.deliver(() => this.#wires.has(wire) && wire.heard(structuredClone(message)));
  }

  env(): Env {
    const { world } = this;
    return {
      fetch: (url, init) => world.gateway.fetch(this, new URL(url, "http://gateway"), init),
      now: () => world.now,
      after: (milliseconds, run) => world.after(milliseconds, run, this),
      random: world.random,
      online: () => !this.offline,
      visible: () => !this.hidden,
      on: (event, run) => {
        const all = this.#listeners.get(event) ?? new Set();
        this.#listeners.set(event, all.add(run));
        return () => all.delete(run);
      },
      load: (key) => this.storage.get(key) ?? null,
      save: (key, value) => void this.storage.set(key, value),
      beacon: (url, body) => void this.beacons.push(`${url} ${body}`),
      locks: world.locks.of(this),
      wire: (name) => {
        const wire = { name, heard: (_: unknown) => {} };
        this.#wires.add(wire);
        return {
          post: (message) => {
            if (this.dead) return;
            for (const tab of world.tabs) if (tab !== this) queueMicrotask(() => tab.hear(name, message));
          },
          listen: (heard) => void (wire.heard = heard),
          close: () => void this.#wires.delete(wire),
        };
      },
      late: () => world.late(),
    };
  }
}

interface Held {
  name: string;
  tab: Tab;
  holds: () => Promise<unknown>;
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

/** Web Locks, exclusive ones. */
export class Locks {
  #held = new Map<string, Held>();
  #queue: Held[] = [];

  of(tab: Tab): LockManager {
    return {
      request: (name: string, a: any, b?: any) => {
        const options = b ? a : {};
        const { promise, resolve, reject } = withResolvers();
        const ask: Held = { name, tab, holds: b ?? a, resolve, reject };
        const robbed = options.steal ? this.#held.get(name) : undefined;
        if (options.steal) {
          this.#held.delete(name);
          robbed?.tab.deliver(() => robbed.reject(new DOMException("robbed", "AbortError")));
          this.#grant(ask);
        } else {
          options.signal?.addEventListener("abort", () => {
            if (!this.#queue.includes(ask)) return;
            this.#queue = this.#queue.filter((q) => q !== ask);
            reject(new DOMException("aborted", "AbortError"));
          });
          this.#queue.push(ask);
          queueMicrotask(() => this.#next());
        }
        return promise;
      },
      query: async () => ({ held: [...this.#held.keys()].map((name) => ({ name, mode: "exclusive" as const, clientId: "" })), pending: [] }),
    } as LockManager;
  }

  /** A tab that ends lets go all it holds and waits for. */
  drop(tab: Tab): void {
    this.#queue = this.#queue.filter((q) => q.tab !== tab);
    for (const [name, held] of this.#held) if (held.tab === tab) this.#held.delete(name);
    this.#next();
  }

  holder(name: string): Tab | undefined {
    return this.#held.get(name)?.tab;
  }

  #next(): void {
    for (const ask of this.#queue) {
      if (this.#held.has(ask.name)) continue;
      this.#queue = this.#queue.filter((q) => q !== ask);
      return this.#grant(ask), this.#next();
    }
  }

  #grant(ask: Held): void {
    this.#held.set(ask.name, ask);
    ask.tab.deliver(() => {
      ask.holds().then((value) => {
        if (this.#held.get(ask.name) === ask) this.#held.delete(ask.name);
        ask.resolve(value);
        this.#next();
      });
    });
  }
}

function withResolvers() {
  let resolve!: (value: unknown) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise((a, b) => ([resolve, reject] = [a, b]));
  return { promise, resolve, reject };
}
