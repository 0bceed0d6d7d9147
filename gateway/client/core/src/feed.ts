// What one tab has processed: takes batches and notices from its own connection
// or from the tab that leads, one after another, drops what is known, and hands
// the rest to the subscriptions. How holes are closed is in late/holes.ts.
import type { Client } from "./client";
import { before, epochOf, later, seqOf } from "./cursor";
import { Dedup } from "./dedup";
import { dispatch, isWanted } from "./hub";
import type { Cursor, Gap, RealtimeEvent, Reset } from "./types";

/** Elements between two positions: all that the wanted channels have there. */
export interface Batch {
  readonly prev: Cursor | null;
  readonly cursor: Cursor;
  readonly elements: readonly RealtimeEvent[];
  /** False for what is replayed. */
  readonly live: boolean;
}

export interface ResetNotice {
  readonly reason: Reset["reason"];
  readonly channels: readonly { readonly channel: string; readonly evictedUpto?: Cursor }[];
  readonly all?: boolean;
  readonly resumeAt: Cursor;
}

/** What a connection tells, and a tab that leads hands on to the others; `lost` stands for more of them than can wait. */
export type Item = { batch: Batch } | { reset: ResetNotice } | { gap: Gap } | { lost: true };

/** Elements after a position, as another tab remembers them. */
export interface Past {
  readonly cursor: Cursor;
  readonly elements: readonly RealtimeEvent[];
}

const MAX_WAITING = 5000; // items that wait for a hole to be closed

export class Feed {
  readonly _client: Client;
  readonly _dedup = new Dedup();
  _position: Cursor | null = null;
  _closed = false;
  #waiting: Item[] = [];
  #running = 0; // pieces of work that all that waits has to wait for

  constructor(client: Client) {
    this._client = client;
  }

  _push(item: Item): void {
    if (this.#waiting.push(item) > MAX_WAITING) this.#waiting = [{ lost: true }];
    this.#pump();
  }

  /**
   * Fetches what these names had after the cursor, while all else waits. With
   * `all` they are all that this tab wants, so its position moves along.
   */
  _catchUp(cursor: Cursor | null, names: readonly string[], all: boolean): void {
    if (cursor && names.length) this.#run(this._client._late().then((late) => late._catchUp(this, cursor, names, all)));
  }

  _close(): void {
    this._closed = true;
    this.#waiting = [];
  }

  #run(work: Promise<void>): void {
    this.#running++;
    void work.finally(() => {
      this.#running--;
      this.#pump();
    });
  }

  #pump(): void {
    while (!this.#running && this.#waiting.length) {
      const item = this.#waiting.shift()!;
      const work = "batch" in item && !this._behind(item.batch) ? this._apply(item.batch)
        : this._client._late().then((late) => late._take(this, item));
      if (work) this.#run(work);
    }
  }

  /** Whether there is a hole before a batch. */
  _behind({ prev }: Batch): boolean {
    return !!this._position && !!prev && before(this._position, prev);
  }

  /** Goes through the elements; one that is known in part makes the rest wait. */
  _apply(batch: Batch, moves = true): Promise<void> | undefined {
    const { elements, cursor, live } = batch;
    const epoch = epochOf(cursor);
    const behind = moves && this._position && epochOf(this._position) === epoch ? seqOf(this._position) : 0;
    for (let i = 0; i < elements.length && !this._closed; i++) {
      const element = elements[i]!;
      if (isWanted(this._client, element.channel) && !this._deliver(element, epoch, live, behind)) {
        return this._client._late().then((late) => late._complete(this, element, epoch))
          .then(() => this._apply({ ...batch, elements: elements.slice(i + 1) }, moves));
      }
    }
    if (moves) this._position = later(this._position, cursor);
    this._client._memory._note(this._position, this._client._names());
    return;
  }

  /** Delivers what is new; false for an element that is known in part. */
  _deliver(element: RealtimeEvent, epoch: string, live: boolean, behind = 0): boolean {
    const now = this._client._env.now();
    const verdict = element.seq <= behind ? "known" : this._dedup._check(element, epoch, now);
    if (verdict === "new") this._emit(element, live && now);
    else if (verdict === "known") this._client._count.duplicatesDetected++;
    return verdict !== "part";
  }

  /** Hands an element to those who want it. `at` is when it came live. */
  _emit(element: RealtimeEvent, at: number | false): void {
    const { _client: client } = this;
    client._count.eventsReceived++;
    if (at) {
      const slot = client._measured++ % client._arrivals.length;
      client._arrivals[slot] = at;
      client._latencies[slot] = at - element.time;
    }
    dispatch(client, element);
  }
}
