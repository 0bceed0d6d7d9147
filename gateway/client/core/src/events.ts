// The iterator form of a subscription.
import type { IterateOptions, RealtimeEvent, Subscription } from "./types";

/** Waits between what a subscription hands over and what a loop takes, in bounded memory. */
export class Events<T> implements AsyncIterableIterator<RealtimeEvent<T>> {
  #waiting: RealtimeEvent<T>[] = [];
  #wake = () => {};
  #over = false;
  #error: Error | undefined;
  readonly #subscription: Subscription;

  constructor(subscribe: (listener: (event: RealtimeEvent<T>) => void) => Subscription, { maxBuffered = 10_000, signal }: IterateOptions) {
    this.#subscription = subscribe((event) => {
      if (this.#over) return;
      this.#waiting.push(event);
      if (this.#waiting.length > maxBuffered) {
        this.#error = new Error(`iterating over events: ${maxBuffered} are waiting and nobody takes them`);
        this.#end();
      }
      this.#wake();
    });
    if (signal?.aborted) this.#end();
    signal?.addEventListener("abort", () => this.#end());
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<RealtimeEvent<T>>> {
    while (!this.#waiting.length && !this.#over) await new Promise<void>((done) => (this.#wake = done));
    if (this.#error) throw this.#error;
    return this.#waiting.length ? { done: false, value: this.#waiting.shift()! } : { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<RealtimeEvent<T>>> {
    this.#waiting = [];
    this.#end();
    return { done: true, value: undefined };
  }

  #end(): void {
    this.#over = true;
    this.#subscription.unsubscribe();
    this.#wake();
  }
}
