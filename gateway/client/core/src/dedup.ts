// Knows which events were processed, in bounded memory. Inside one epoch the
// order of a channel decides; over epochs the publisher's id does.
import { covers } from "./cursor";
import type { RealtimeEvent } from "./types";

export const KEEP_MS = 300_000;
export const MAX_KEPT = 10_000;

/** `part`: a merged event of which the first parts were processed before. */
export type Verdict = "new" | "known" | "part";

/**
 * Forgets what was not seen for KEEP_MS to twice as long, and the older half when
 * there is too much. In two generations, because taking the oldest out of one Map
 * again and again is not constant in time.
 */
export class Dedup {
  /** By channel or pattern: what a reset went on from (late/holes.ts). */
  readonly _floors = new Map<string, number>();
  // Seqs processed last, by order and channel, and the epochs in which ids were processed, by channel and id.
  _young = new Map<string, number | string>();
  _old: typeof this._young = new Map();
  #since = 0;
  #epoch = "";
  #order = 0; // another one for every run of numbers: no channel has a line feed

  /**
   * Judges an element of the epoch and, when it is new, remembers it. `reloaded`
   * is what was fetched because of a reset, and so lies before it.
   */
  _check({ channel, seq, first, id }: RealtimeEvent, epoch: string, now: number, reloaded = false): Verdict {
    this._enter(epoch);
    const done = this._highest(channel);
    if (seq <= done || (!reloaded && this.#isBelow(seq, channel))) return "known";
    if (first! <= done) return "part";
    const key = `${channel} ${id}`;
    const where = this.#get(key) ?? epoch;
    if (now - this.#since >= KEEP_MS || this._young.size >= MAX_KEPT) {
      this._old = this._young;
      this._young = new Map();
      this.#since = now;
    }
    this._young.set(this.#order + "\n" + channel, seq).set(key, epoch);
    return where === epoch ? "new" : "known";
  }

  /** The seq of the last processed event of a channel, or 0. */
  _highest(channel: string): number {
    return +(this.#get(this.#order + "\n" + channel) ?? 0);
  }

  /** Forgets the order of the epoch before; `anew` of this one too, since its log lost events and gives their numbers again. */
  _enter(epoch: string, anew = false): void {
    if (epoch === this.#epoch && !anew) return;
    this.#epoch = epoch;
    this.#order++;
    this._floors.clear();
  }

  #get(key: string): number | string | undefined {
    return this._young.get(key) ?? this._old.get(key);
  }

  #isBelow(seq: number, channel: string): boolean {
    for (const [name, floor] of this._floors) if (seq <= floor && covers(name, channel)) return true;
    return false;
  }
}
