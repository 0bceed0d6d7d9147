// What a leader remembers for tabs that missed something: its newest elements.
import type { Batch } from "./connect";
import { before, later, seqOf } from "./cursor";
import { KEEP_MS } from "./dedup";
import type { Past } from "./feed";
import type { Cursor } from "./types";

const MAX_ELEMENTS = 2000;

export class Ring {
  #batches: { batch: Batch; at: number }[] = [];
  #elements = 0;
  /** Everything after it is here. */
  #start: Cursor | null;
  #end: Cursor | null;

  constructor(start: Cursor | null) {
    this.#start = this.#end = start;
  }

  add(batch: Batch, now: number): void {
    this.#start ??= batch.prev ?? batch.cursor;
    this.#end = later(this.#end, batch.cursor);
    this.#batches.push({ batch, at: now });
    this.#elements += batch.elements.length;
    for (;;) {
      const oldest = this.#batches[0]!;
      if (this.#batches.length < 2 || (this.#elements <= MAX_ELEMENTS && now - oldest.at < KEEP_MS)) return;
      this.#batches.shift();
      this.#elements -= oldest.batch.elements.length;
      this.#start = oldest.batch.cursor;
    }
  }

  clear(start: Cursor): void {
    this.#batches = [];
    this.#elements = 0;
    this.#start = this.#end = start;
  }

  /** All after a position, or null when it lies before the memory. */
  after(position: Cursor): Past | null {
    if (!this.#start || !this.#end || before(position, this.#start)) return null;
    const seq = seqOf(position);
    const elements = this.#batches.flatMap(({ batch }) => batch.elements.filter((e) => e.seq > seq));
    return { cursor: this.#end, elements };
  }
}
