// Text that grows token by token, as a language model writes it: one string, in
// order, also after a reload in the middle of an answer.
import type { Cursor, RealtimeClient, RealtimeEvent } from "./types";

export interface TokenOptions {
  /** Text of one event; the event's data when it is a string, else its `text`. */
  readonly text?: (event: RealtimeEvent<any>) => string;
  /** Says which event is the last; one whose `type` is `done` when absent. */
  readonly done?: (event: RealtimeEvent<any>) => boolean;
  /** Ends the reading; the text so far stays. */
  readonly signal?: AbortSignal;
  /** Called with all of the text after every step. */
  readonly onText?: (text: string, delta: string) => void;
  /** Tokens are missing and cannot be had any more: the text begins anew with what is kept. */
  readonly onReset?: () => void;
}

export interface TokenStream extends AsyncIterable<string> {
  /** All of it so far. */
  readonly text: string;
  /** Resolves with the whole text, or with what there is when it was cancelled. */
  readonly finished: Promise<string>;
  cancel(): void;
}

const textOf = (event: RealtimeEvent<any>): string => (typeof event.data === "string" ? event.data : `${event.data?.text ?? ""}`);

/**
 * Reads the answer on a channel from its beginning: first what is kept of it,
 * then live. So a page that is loaded again in the middle shows the whole text.
 * Deltas that the gateway merged are one step; none is repeated or left out.
 */
export function readTokens(client: RealtimeClient, channel: string, options: TokenOptions = {}): TokenStream {
  return new Tokens(client, channel, options);
}

class Tokens implements TokenStream {
  text = "";
  readonly finished: Promise<string>;
  #finish!: (text: string) => void;
  #seq = 0;
  #epoch = "";
  #over = false;
  #early: RealtimeEvent[] | null = []; // live events while the history is read
  #wake = () => {};
  readonly #stop = new AbortController();

  constructor(readonly client: RealtimeClient, readonly channel: string, readonly options: TokenOptions) {
    this.finished = new Promise((finish) => (this.#finish = finish));
    const { signal } = options;
    signal?.addEventListener("abort", () => this.cancel());
    if (signal?.aborted) this.cancel();
    const heard = (event: RealtimeEvent) => (this.#early ? void this.#early.push(event) : this.#take(event));
    const subscription = client.subscribe(channel, heard, { signal: this.#stop.signal, onReset: () => this.#again() });
    void subscription.ready().then(() => this.#load());
  }

  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stop.abort();
    this.#finish(this.text);
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<string> {
    for (let given = 0; ; ) {
      if (this.text.length < given) given = 0; // it began anew
      if (this.text.length > given) {
        const delta = this.text.slice(given);
        given = this.text.length;
        yield delta;
      } else if (this.#over) return;
      else await new Promise<void>((wake) => (this.#wake = wake));
    }
  }

  /** Reads what is kept, and then what came live meanwhile. */
  async #load(): Promise<void> {
    for (let waitMs = 500; !this.#over; waitMs = Math.min(30_000, waitMs * 2)) {
      try {
        const { events, cursor } = await this.client.history(this.channel, this.#from(), this.#stop.signal);
        this.#epoch = cursor.split(".")[0]!;
        for (const event of events) this.#take(event);
        const early = this.#early ?? [];
        this.#early = null;
        for (const event of early) this.#take(event);
        return; // what lies between the history and the live events would have been in one of them
      } catch {
        await new Promise((done) => setTimeout(done, waitMs));
      }
    }
  }

  #from(): Cursor | undefined {
    return this.#seq ? `${this.#epoch}.${this.#seq}` : undefined;
  }

  #take(event: RealtimeEvent): void {
    if (this.#over || event.seq <= this.#seq) return;
    if (event.first !== undefined && event.first <= this.#seq) return this.#again(false);
    this.#seq = event.seq;
    const delta = (this.options.text ?? textOf)(event);
    this.text += delta;
    if (delta) this.options.onText?.(this.text, delta);
    if (this.options.done?.(event) ?? event.type === "done") this.cancel();
    this.#wake();
  }

  /** Reads the history again, from the beginning when the text so far is not to be trusted. */
  #again(anew = true): void {
    if (this.#over) return;
    if (anew) {
      this.text = "";
      this.#seq = 0;
      this.options.onReset?.();
    }
    this.#early ??= [];
    void this.#load();
  }
}
