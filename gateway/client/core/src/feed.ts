// What one tab has processed: takes batches and notices from its own connection
// or from the tab that leads, one after another, closes holes, drops what is
// known, and hands the rest to the subscriptions.
import type { Batch, GapNotice, ResetNotice } from "./connect";
import { before, epochOf, later, seqOf } from "./cursor";
import { Dedup } from "./dedup";
import type { Gateway } from "./http";
import { persist } from "./http";
import type { Hub } from "./hub";
import type { Meter } from "./metrics";
import type { Cursor, RealtimeEvent } from "./types";

export type Item = { batch: Batch } | { reset: ResetNotice } | { gap: GapNotice };

/** Elements after a position, as another tab remembers them. */
export interface Past {
  readonly cursor: Cursor;
  readonly elements: readonly RealtimeEvent[];
}

const MAX_WAITING = 5000; // items that wait for a hole to be closed
const TRY_MS = 30_000;

const path = (channel: string, what: string) => `channels/${encodeURIComponent(channel)}/${what}`;

/** One page of what is kept of a channel. */
export function page(gateway: Gateway, channel: string, cursor?: Cursor, signal?: AbortSignal) {
  return gateway.json<{ events: RealtimeEvent[]; cursor: Cursor; complete: boolean; more: boolean }>("GET", path(channel, "events"), { query: { cursor }, signal });
}

export class Feed {
  /** Asks what another tab remembers, once these names are read; null when that is not enough. */
  past: (cursor: Cursor, names: readonly string[]) => Promise<Past | null> = async () => null;
  /** Told of every step forward. */
  moved: () => void = () => {};

  readonly #dedup = new Dedup();
  #waiting: Item[] = [];
  #running = 0; // pieces of work that all that waits has to wait for
  #closed = false;

  constructor(readonly gateway: Gateway, readonly hub: Hub, readonly meter: Meter, public position: Cursor | null) {
    hub.reload = (channel) => void this.#reload(channel);
  }

  push(item: Item): void {
    this.#waiting.push(item);
    if (this.#waiting.length > MAX_WAITING) {
      this.#waiting = [];
      this.#giveUp(null);
    }
    this.#pump();
  }

  /**
   * Fetches what these names had after the cursor, while all else waits. With
   * `all` they are all that this tab wants, so its position moves along.
   */
  catchUp(cursor: Cursor, names: readonly string[], all: boolean): void {
    if (names.length) this.#run(this.#catchUp(cursor, names, all));
  }

  close(): void {
    this.#closed = true;
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
      const work = this.#take(this.#waiting.shift()!);
      if (work) this.#run(work);
    }
  }

  #take(item: Item): Promise<void> | undefined {
    if ("reset" in item) return void this.#reset(item.reset);
    if ("gap" in item) {
      this.meter.gaps++;
      return void this.hub.gap(item.gap.reason, item.gap.channels);
    }
    return this.#behind(item.batch) ? this.#mend(item.batch) : this.#apply(item.batch);
  }

  #behind({ prev }: Batch): boolean {
    return !!this.position && !!prev && before(this.position, prev);
  }

  /** Closes the hole before a batch: from another tab, and when that knew less from the gateway. */
  async #mend(batch: Batch): Promise<void> {
    for (const ask of [true, false]) if (this.#behind(batch)) await this.#catchUp(this.position!, this.hub.channels(), true, ask);
    await this.#apply(batch);
  }

  /** Goes through the elements; one that is known in part makes the rest wait. */
  #apply(batch: Batch, moves = true): Promise<void> | undefined {
    const { elements, cursor, live } = batch;
    const epoch = epochOf(cursor);
    const now = this.gateway.env.now();
    const behind = moves && this.position && epochOf(this.position) === epoch ? seqOf(this.position) : 0;
    for (let i = 0; i < elements.length && !this.#closed; i++) {
      const element = elements[i]!;
      if (!this.hub.wants(element.channel)) continue;
      const verdict = element.seq <= behind ? "known" : this.#dedup.check(element, epoch, now);
      if (verdict === "new") this.#deliver(element, live, now);
      else if (verdict === "known") this.meter.duplicates++;
      else return this.#parts(element, epoch).then(() => this.#apply({ ...batch, elements: elements.slice(i + 1) }, moves));
    }
    if (moves) this.position = later(this.position, cursor);
    this.moved();
    return undefined;
  }

  #deliver(element: RealtimeEvent, live: boolean, now: number): void {
    this.meter.received(element.time, live, now);
    this.hub.dispatch(element);
  }

  /** Fetches the parts of a merged element that were not processed yet. */
  async #parts({ channel, seq }: RealtimeEvent, epoch: string): Promise<void> {
    try {
      for (let at = `${epoch}.${this.#dedup.highest(channel)}`, more = true; more; ) {
        const answer = await persist(this.gateway, TRY_MS, () => page(this.gateway, channel, at));
        for (const part of answer.events) {
          if (part.seq <= seq && this.#dedup.check(part, epoch, this.gateway.env.now()) === "new") this.#deliver(part, false, 0);
        }
        at = answer.cursor;
        more = answer.more && seqOf(at) < seq;
      }
    } catch {
      this.#dedup.reset(channel, `${epoch}.${seq}`);
      this.#lose([channel]);
    }
  }

  async #catchUp(cursor: Cursor, names: readonly string[], all: boolean, ask = true): Promise<void> {
    try {
      const past = ask ? await this.past(cursor, names) : null;
      if (past) return await this.#apply({ prev: cursor, cursor: past.cursor, elements: past.elements, live: false }, all);
      for (let more = true; more && !this.#closed; ) {
        const answer = await persist(this.gateway, TRY_MS, () => this.gateway.poll(names, cursor, 0));
        for (const { event, data } of answer.controls) if (event === "sg.reset") this.#reset(data, all);
        cursor = answer.cursor;
        await this.#apply({ prev: null, cursor, elements: answer.events, live: false }, all);
        more = answer.more;
      }
    } catch {
      this.#giveUp(all ? null : names);
    }
  }

  /** What lies behind cannot be had: says so, and goes on with what comes. */
  #giveUp(names: readonly string[] | null): void {
    if (!names) this.position = null;
    this.#lose(names);
  }

  #lose(names: readonly string[] | null): void {
    this.meter.resets++;
    if (!this.#closed) this.hub.reset("local", names);
  }

  #reset({ reason, channels, all, resumeAt }: ResetNotice, moves = true): void {
    let names: string[] | null = null;
    if (all) {
      const told = this.position && !before(this.position, resumeAt);
      if (told && reason !== "local" && reason !== "future") return;
      if (reason === "future") this.#dedup.rewind(resumeAt);
      if (reason !== "local") this.#dedup.reset(">", resumeAt);
      if (moves) this.position = resumeAt;
    } else {
      names = channels.filter((c) => this.#dedup.reset(c.channel, resumeAt, c.evictedUpto)).map((c) => c.channel);
      if (!names.length) return;
    }
    this.meter.resets++;
    this.hub.reset(reason, names);
  }

  /** The default after a reset: the newest event of a channel stands for its state. */
  async #reload(channel: string): Promise<void> {
    const answer = await persist(this.gateway, TRY_MS, () =>
      this.gateway.json<{ events: RealtimeEvent[]; cursor: Cursor }>("GET", path(channel, "last"))).catch(() => null);
    for (const event of answer?.events ?? []) {
      if (this.#dedup.check(event, epochOf(answer!.cursor), this.gateway.env.now(), true) === "new") this.#deliver(event, false, 0);
    }
  }
}
