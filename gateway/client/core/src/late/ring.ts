// What a leader remembers for tabs that missed something: its newest elements.
import type { Client } from "../client";
import { seqOf } from "../cursor";
import type { Batch, Past } from "../feed";
import type { Cursor } from "../types";

const MAX_ELEMENTS = 2000;
const KEEP_MS = 300_000;

export class Ring {
  readonly #client: Client;
  #batches: { batch: Batch; at: number }[] = [];
  #elements = 0;
  /** Everything after it is here. */
  #start: Cursor | null;
  #end: Cursor | null;

  constructor(client: Client, start: Cursor | null) {
    this.#client = client;
    this.#start = this.#end = start;
  }

  _add(batch: Batch, now: number): void {
    this.#start ??= batch.prev ?? batch.cursor;
    this.#end = this.#client._later(this.#end, batch.cursor);
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

  /** All after a position, or null when it lies before the memory. */
  _after(position: Cursor): Past | null {
    if (!this.#start || !this.#end || this.#client._before(position, this.#start)) return null;
    const seq = seqOf(position);
    const elements = this.#batches.flatMap(({ batch }) => batch.elements.filter((e) => e.seq > seq));
    return { cursor: this.#end, elements };
  }
}
