// What the client needs from where it runs. Tests pass their own clock, network
// and chance; pages get what the browser has.
import type { Late } from "./late/index";

/** A broadcast channel, as far as the client uses one. */
export interface Wire {
  post(message: unknown): void;
  listen(heard: (message: any) => void): void;
  close(): void;
}

export interface Env {
  fetch(url: string, init: RequestInit): Promise<Response>;
  /** Milliseconds of the wall clock. */
  now(): number;
  /** Runs once, later; returns the way to prevent it. */
  after(milliseconds: number, run: () => void): () => void;
  /** 0 ≤ x < 1. */
  random(): number;
  online(): boolean;
  visible(): boolean;
  /** `online`, `offline`, `visibilitychange`, `freeze`, `pagehide`, `pageshow`; returns the way to end it. */
  on(event: string, run: () => void): () => void;
  /** Text kept for this tab; both throw where the browser blocks it. */
  load(key: string): string | null;
  save(key: string, value: string): void;
  /** Sends a report that nobody waits for; by the browser's `sendBeacon` when absent. */
  beacon?(url: string, body: string): void;
  /** Null where tabs cannot share a connection. */
  readonly locks: LockManager | null;
  wire(name: string): Wire;
  /** What the first event does not need (late/); a chunk of this package when absent. */
  late?(): Promise<Late>;
}

/** The environment of a page or a worker. On a server nothing of it is touched before a subscription. */
export function browser(): Env {
  const g = globalThis as any;
  return {
    fetch: (url, init) => fetch(url, init),
    now: () => Date.now(),
    after(milliseconds, run) {
      const timer = setTimeout(run, milliseconds);
      return () => clearTimeout(timer);
    },
    random: Math.random,
    online: () => g.navigator?.onLine !== false,
    visible: () => g.document?.visibilityState !== "hidden",
    on(event, run) { // on the way down, since not all that the document is told of comes up again
      g.addEventListener?.(event, run, true);
      return () => g.removeEventListener?.(event, run, true);
    },
    load: (key) => g.sessionStorage.getItem(key),
    save: (key, value) => g.sessionStorage.setItem(key, value),
    locks: (g.BroadcastChannel && g.navigator?.locks) || null,
    wire(name) {
      const channel = new BroadcastChannel(name);
      return {
        post: (message) => channel.postMessage(message),
        listen: (heard) => (channel.onmessage = (event) => heard(event.data)),
        close: () => channel.close(),
      };
    },
  };
}
