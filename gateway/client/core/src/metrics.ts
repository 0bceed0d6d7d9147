// Counts what a tab got and how late, in memory that does not grow.

const KEPT = 1000; // latencies
const SECONDS = 10;
const GOOD_MS = 100; // a round trip that is no reason to ask again: over HTTP/1.1 that would leave a second connection behind
const STALE_MS = 600_000;

export class Meter {
  events = 0;
  duplicates = 0;
  resets = 0;
  gaps = 0;
  malformed = 0;
  /** Server's clock less this one's. */
  offsetMs = 0;
  readonly #latencies = new Float64Array(KEPT);
  /** Live events so far. */
  measured = 0;
  readonly #counts = new Float64Array(SECONDS + 1); // by second, the one under way too
  #second = 0;
  #bestMs = Infinity; // round trip of the offset in use
  #bestAt = 0;

  received(time: number, live: boolean, now: number): void {
    this.events++;
    if (!live) return;
    this.#advance(now);
    this.#counts[this.#second % this.#counts.length]!++;
    this.#latencies[this.measured++ % KEPT] = Math.max(0, now + this.offsetMs - time);
  }

  /** Takes the server's time from an answer; tells whether it should be asked more closely. */
  clock(serverMs: number, roundTripMs: number, now: number): boolean {
    if (roundTripMs <= this.#bestMs || now - this.#bestAt > STALE_MS) {
      this.#bestMs = roundTripMs;
      this.#bestAt = now;
      this.offsetMs = Math.round(serverMs + roundTripMs / 2 - now);
    }
    return this.#bestMs > GOOD_MS;
  }

  /** Events per second over the last ten whole seconds. */
  rate(now: number): number {
    this.#advance(now);
    let sum = 0;
    this.#counts.forEach((count, i) => (sum += i === this.#second % this.#counts.length ? 0 : count));
    return sum / SECONDS;
  }

  latency(): { avg: number; p95: number } {
    const count = Math.min(this.measured, KEPT);
    if (!count) return { avg: 0, p95: 0 };
    const sorted = this.#latencies.slice(0, count).sort();
    const round = (ms: number) => Math.round(ms * 10) / 10;
    return { avg: round(sorted.reduce((a, b) => a + b) / count), p95: round(sorted[Math.ceil(count * 0.95) - 1]!) };
  }

  #advance(now: number): void {
    const second = Math.floor(now / 1000);
    for (let i = Math.max(this.#second + 1, second - SECONDS); i <= second; i++) this.#counts[i % this.#counts.length] = 0;
    this.#second = Math.max(this.#second, second);
  }
}
