// Knows which events were processed, in bounded memory. Inside one epoch the
// order of a channel decides; over epochs the publisher's id does.
import { covers, epochOf, seqOf } from "./cursor";
import type { Cursor, RealtimeEvent } from "./types";

export const KEEP_MS = 300_000;
export const MAX_KEPT = 10_000;
const MAX_FLOORS = 1000; // ten times what one connection may subscribe to

/**
 * A map that forgets: what was not set for KEEP_MS to twice as long, and the
 * older half when there are MAX_KEPT. In two generations, because taking the
 * oldest out of one Map again and again is not constant in time.
 */
class Recent<V> {
  #young = new Map<string, V>();
  #old = new Map<string, V>();
  #since = 0;

  get(key: string): V | undefined {
    return this.#young.get(key) ?? this.#old.get(key);
  }

  set(key: string, value: V, now: number): void {
    if (now - this.#since >= KEEP_MS || this.#young.size >= MAX_KEPT / 2) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#since = now;
    }
    this.#young.set(key, value);
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }
}

/** `part`: a merged event of which the first parts were processed before. */
export type Verdict = "new" | "known" | "part";

export class Dedup {
  #epoch = "";
  #highest = new Recent<number>();
  #floors = new Map<string, number>(); // by channel or pattern: what a reset went on from
  readonly #ids = new Recent<string>(); // the epoch in which an id was processed

  /**
   * Judges an element of the epoch and, when it is new, remembers it. `reloaded`
   * is what was fetched because of a reset, and so lies before it.
   */
  check(element: RealtimeEvent, epoch: string, now: number, reloaded = false): Verdict {
    if (epoch !== this.#epoch) this.#enter(epoch);
    const { channel, seq, first } = element;
    const done = this.highest(channel);
    if (seq <= done || (!reloaded && seq <= this.#floor(channel))) return "known";
    if (first !== undefined && first <= done) return "part";
    const key = `${channel} ${element.id}`;
    const where = this.#ids.get(key);
    this.#highest.set(channel, seq, now);
    this.#ids.set(key, epoch, now);
    return where === undefined || where === epoch ? "new" : "known";
  }

  /** The seq of the last processed event of a channel, or 0. */
  highest(channel: string): number {
    return this.#highest.get(channel) ?? 0;
  }

  /**
   * Leaves out what a reset covers: events of these names up to the position.
   * Tells whether it said anything new of a name.
   */
  reset(name: string, resumeAt: Cursor, evictedUpto?: Cursor): boolean {
    if (epochOf(resumeAt) !== this.#epoch) this.#enter(epochOf(resumeAt));
    const known = this.#floors.get(name);
    if (known !== undefined && evictedUpto && seqOf(evictedUpto) <= known) return false;
    this.#floors.delete(name);
    this.#floors.set(name, seqOf(resumeAt));
    if (this.#floors.size > MAX_FLOORS) this.#floors.delete(this.#floors.keys().next().value!);
    return true;
  }

  /** Forgets the order of this epoch: its log lost what was after the position, and gives those numbers again. */
  rewind(position: Cursor): void {
    this.#enter(epochOf(position));
  }

  /** Entries held, for tests of memory. */
  get size(): number {
    return this.#highest.size + this.#ids.size + this.#floors.size;
  }

  #floor(channel: string): number {
    let floor = 0;
    for (const [name, seq] of this.#floors) {
      if (seq > floor && covers(name, channel)) floor = seq;
    }
    return floor;
  }

  #enter(epoch: string): void {
    this.#epoch = epoch;
    this.#highest = new Recent();
    this.#floors.clear();
  }
}
