// Tells how a page feels: its numbers, to the application and to the gateway.
import type { Client } from "../client";
import type { RealtimeMetrics } from "../types";

const RATE_MS = 10_000;
const GOOD_MS = 100; // a round trip that is no reason to ask again: over HTTP/1.1 that would leave a second connection behind
const STALE_MS = 600_000;
const PACE_MS = 60_000;

const round = (value: number) => Math.round(value * 10) / 10;

/** What is to be worked out: latencies of the live events that are kept, by the server's clock, and how many came in a second of the last ten. */
export function numbers(client: Client, now: number): Partial<RealtimeMetrics> {
  const { state, _share: share, _arrivals: arrivals, _measured: measured } = client;
  const sorted = client._latencies.slice(0, measured).map((ms) => Math.max(0, ms + client._count.clockOffsetMs)).sort();
  const count = sorted.length;
  const kept = arrivals.length;
  const recent = arrivals.filter((at) => at > now - RATE_MS).length;
  const sinceMs = recent < kept ? RATE_MS : now - arrivals[measured % kept]! || 1; // more come than are kept
  return {
    avgLatencyMs: count && round(sorted.reduce((a, b) => a + b) / count),
    p95LatencyMs: count && round(sorted[Math.ceil(count * 0.95) - 1]!),
    eventRate: round(recent * 1000 / sinceMs),
    transport: state === "polling" ? "poll" : state === "connected" || state === "follower" ? "sse" : "none",
    ...(share && { role: share._leading ? "leader" : "follower", term: share._term, tabs: share._tabs }),
  };
}

/** Takes the server's time from an answer; when that took long, the clock of the fastest of three more. */
export async function clock(client: Client, serverMs: number, tripMs: number, at: number, tries = 3): Promise<void> {
  if (tripMs <= client._tripMs || at - client._tripAt > STALE_MS) {
    client._tripMs = tripMs;
    client._tripAt = at;
    client._count.clockOffsetMs = Math.round(serverMs + tripMs / 2 - at);
  }
  for (; tries && client._tripMs > GOOD_MS; tries--) {
    const asked = client._env.now();
    const answer = await client._ask<{ t: number }>("GET", "time").catch(() => null);
    const now = client._env.now();
    if (answer) await clock(client, answer.t, now - asked, now, 0);
  }
}

export class Beacon {
  readonly #client: Client;
  #reported = 0; // live events of before the last report
  #paceMs = 0;
  #cancel = () => {};

  constructor(client: Client) {
    this.#client = client;
    this._paced();
  }

  /** Waits anew when another pace is wanted, and not as long as was right before. */
  _paced(): void {
    const { _beaconMs: paceMs = PACE_MS } = this.#client;
    if (paceMs !== this.#paceMs) this.#later(paceMs);
  }

  #later(paceMs: number): void {
    const { _env: env } = this.#client;
    this.#paceMs = paceMs;
    this._close();
    this.#cancel = env.after(paceMs * (0.8 + env.random() * 0.4), () => {
      this._send();
      this.#later(paceMs);
    });
  }

  _close(): void {
    this.#cancel();
  }

  /** Sends the metrics of the tab that has the connection; without latencies when nothing new was measured. */
  _send(): void {
    const client = this.#client;
    if (client.flags["beacon"] === false || !client._connection) return;
    const quiet = client._measured === this.#reported && { avgLatencyMs: null, p95LatencyMs: null };
    this.#reported = client._measured;
    const send = client._env.beacon ?? ((url, body) => navigator.sendBeacon?.(url, body));
    send(`${client._base}/beacon`, JSON.stringify({ ...client.metrics(), ...quiet, sid: client._connection._current?._sid }));
  }
}
