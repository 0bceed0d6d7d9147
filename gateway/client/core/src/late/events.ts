// The iterator form of a subscription.
import type { IterateOptions, RealtimeEvent, Subscription } from "../types";

/** Most that wait while this part of the client is being loaded. */
export const MAX_EARLY = 10_000;

/** Waits between what a subscription hands over and what a loop takes, in bounded memory. */
export class Events<T> implements AsyncIterator<RealtimeEvent<T>> {
  readonly #waiting: RealtimeEvent<T>[];
  readonly #subscription: Subscription;
  readonly #most: number;
  readonly #signals: (AbortSignal | undefined)[];
  readonly #end = () => this.#over();
  #wake = () => {};
  #ended = false;
  #error: Error | undefined;

  /** `waiting` came before; `to` is where the subscription hands over. Ends with the application's signal, or `closing`. */
  constructor(waiting: RealtimeEvent<T>[], to: { _take(event: RealtimeEvent<T>): void }, subscription: Subscription, { maxBuffered = 10_000, signal }: IterateOptions, closing: AbortSignal) {
    this.#waiting = waiting;
    this.#subscription = subscription;
    this.#most = maxBuffered;
    to._take = (event) => this.#take(event);
    this.#signals = [signal, closing];
    for (const s of this.#signals) {
      if (s?.aborted) this.#over();
      s?.addEventListener("abort", this.#end);
    }
    if (waiting.length > Math.min(maxBuffered, MAX_EARLY)) this.#overflow();
  }

  async next(): Promise<IteratorResult<RealtimeEvent<T>>> {
    while (!this.#waiting.length && !this.#ended) await new Promise<void>((done) => (this.#wake = done));
    if (this.#error) throw this.#error;
    return this.#waiting.length ? { done: false, value: this.#waiting.shift()! } : { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<RealtimeEvent<T>>> {
    this.#waiting.length = 0;
    this.#over();
    return { done: true, value: undefined };
  }

  #take(event: RealtimeEvent<T>): void {
    if (this.#ended) return;
    this.#waiting.push(event);
    if (this.#waiting.length > this.#most) this.#overflow();
    this.#wake();
  }

  #overflow(): void {
    this.#error = new Error(`${this.#most} are waiting and nobody takes them`);
    this.#over();
  }

  #over(): void {
    this.#ended = true;
    this.#subscription.unsubscribe();
    for (const signal of this.#signals) signal?.removeEventListener("abort", this.#end);
    this.#wake();
  }
}
