// A native EventSource, which can send no header, by tickets: credentials that
// read some channels for some minutes and stand in the stream's URL.
import { problem, RealtimeError } from "./http";
import type { Cursor } from "./types";

export { RealtimeError };

export interface TicketOptions {
  /** Base of the gateway's interface; `/v2/realtime` of the page's origin when absent. */
  readonly url?: string;
  /** Gives a token; asked for every ticket, and once more after a 401. */
  readonly getToken: () => string | Promise<string>;
  /** How long a ticket is good for, 1 to 3600; the gateway's 300 when absent. Never longer than the token. */
  readonly ttlSeconds?: number;
  /** More of the stream's parameters, as `{ format: "envelope" }` or the `cursor` to begin at. */
  readonly query?: Readonly<Record<string, string | number>>;
  /** Ends it. */
  readonly signal?: AbortSignal;
}

export interface TicketSourceOptions extends TicketOptions {
  /** It has given up, for a reason that a retry would not change; reported as an uncaught error when absent. */
  readonly onError?: (error: RealtimeError) => void;
}

/** Where a stream is read for a while. The URL is a secret until then: log it nowhere. */
export interface TicketUrl {
  /** For `new EventSource(url)`, in a page of the origin that asked. */
  readonly url: string;
  /** When the ticket ends, in milliseconds of the server's clock. */
  readonly expiresAt: number;
}

export interface TicketSource {
  /** Where it is: the last event's id or, before the first one, where the stream began. Empty before that. */
  readonly cursor: Cursor;
  /**
   * Calls `listener` for events of this type, over all tickets: `message`, a type
   * of `format=typed`, the gateway's own (`sg.reset`), `open`, `error`. Returns
   * the way to end that.
   */
  on(type: string, listener: (event: MessageEvent<string>) => void): () => void;
  close(): void;
}

const TIMEOUT = "timeout";

/** Asks once; has 10 s from when the request is there. Resolves with a success's JSON, and throws a RealtimeError for all else. */
async function ask(url: string, signal: AbortSignal | undefined, request: () => Promise<RequestInit>): Promise<any> {
  const stop = new AbortController();
  let late: ReturnType<typeof setTimeout> | undefined;
  signal?.addEventListener("abort", () => stop.abort(signal.reason), stop);
  try {
    signal?.throwIfAborted();
    const init = await request();
    late = setTimeout(() => stop.abort(TIMEOUT), 10_000);
    const response = await fetch(url, { cache: "no-store", redirect: "error", signal: stop.signal, ...init });
    if (!response.ok) throw await problem(response);
    return await response.json();
  } catch (error) {
    throw error instanceof RealtimeError ? error : new RealtimeError(`asking the gateway: ${error}`, 0, error === TIMEOUT ? TIMEOUT : "");
  } finally {
    clearTimeout(late);
    stop.abort(); // ends the listener, too
  }
}

const baseOf = ({ url = "/v2/realtime" }: TicketOptions): string => url.replace(/\/+$/, "");
const urlOf = (channels: readonly string[], options: TicketOptions, ticket: string, cursor?: Cursor): string =>
  `${baseOf(options)}/stream?${new URLSearchParams({ channels: channels.join(), ...options.query as {}, ...(cursor && { cursor }), ticket })}`;

async function getTicket(channels: readonly string[], options: TicketOptions, signal = options.signal, again = true): Promise<{ ticket: string; expiresAt: number }> {
  try {
    return await ask(`${baseOf(options)}/tickets`, signal, async () => ({
      method: "POST", body: JSON.stringify({ channels, ttlSeconds: options.ttlSeconds }),
      headers: { Authorization: `Bearer ${await options.getToken()}`, "Content-Type": "application/json" },
    }));
  } catch (error) {
    if (again && (error as RealtimeError).status === 401) return getTicket(channels, options, signal, false);
    throw error;
  }
}

/**
 * Swaps a token for a ticket that reads these channels, and gives the URL of
 * their stream, which is good until then for an EventSource and its own
 * reconnects. Rejects with a RealtimeError. `ticketSource` renews it, too.
 */
export async function ticketUrl(channels: string | readonly string[], options: TicketOptions): Promise<TicketUrl> {
  const names = [channels].flat();
  const { ticket, expiresAt } = await getTicket(names, options);
  return { url: urlOf(names, options, ticket), expiresAt };
}

/**
 * Reads these channels by EventSources, one after another: when two thirds of a
 * ticket's time are over, or when the browser has given up, the next one goes on
 * with a new ticket where the last one was. What listeners see is one stream.
 */
export function ticketSource(channels: string | readonly string[], options: TicketSourceOptions): TicketSource {
  return new Source([channels].flat(), options);
}

type Heard = readonly [type: string, listener: (event: any) => void];

class Source implements TicketSource {
  cursor = "";
  #source: EventSource | undefined;
  #opened = true; // by the newest ticket, or there is none yet
  #asking = false;
  #tries = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #stop = new AbortController();
  readonly #heard = new Set<Heard>();
  readonly #keep = ({ lastEventId }: MessageEvent<string>) => void (this.cursor = lastEventId || this.cursor);

  constructor(readonly channels: readonly string[], readonly options: TicketSourceOptions) {
    const { signal } = options;
    signal?.addEventListener("abort", () => this.close(), { signal: this.#stop.signal });
    if (signal?.aborted) this.close();
    else void this.#renew();
  }

  on(type: string, listener: (event: MessageEvent<string>) => void): () => void {
    const heard: Heard = [type, (event) => listener(event)]; // the same one may listen twice
    this.#heard.add(heard);
    this.#listen(heard);
    return () => {
      this.#heard.delete(heard);
      this.#source?.removeEventListener(...heard);
    };
  }

  close(): void {
    this.#stop.abort();
    clearTimeout(this.#timer);
    this.#source?.close();
  }

  async #renew(): Promise<void> {
    this.#asking = true;
    const { signal } = this.#stop;
    try {
      // Browsers do not tell why they gave up: what never opened is asked for once more, by a poll.
      if (!this.#opened) await ask(`${this.#source!.url}&wait=0`, signal, async () => ({})).catch((error) => error.status === 401 || Promise.reject(error));
      const { ticket, expiresAt } = await getTicket(this.channels, this.options, signal);
      if (!signal.aborted) this.#open(ticket, expiresAt);
    } catch (error) {
      if (!signal.aborted) this.#failed(error as RealtimeError);
    }
    this.#asking = false;
  }

  /** The stream of before goes on until now, so its position is the newest one. */
  #open(ticket: string, expiresAt: number): void {
    this.#source?.close();
    const source = this.#source = new EventSource(urlOf(this.channels, this.options, ticket, this.cursor));
    this.#opened = false;
    for (const type of ["message", "sg.cp", "sg.caught-up", "sg.open"]) source.addEventListener(type, this.#keep);
    source.addEventListener("sg.open", ({ data }) => {
      if (this.#opened) return; // a reconnect moves nothing
      const { cursor, time } = JSON.parse(data);
      this.#opened = true;
      this.cursor ||= cursor;
      // By the gateway's clock, whatever this page's is; not all pages at once.
      this.#wait(Math.max(5000, (expiresAt - time) * (0.6 + Math.random() / 8)), 0);
    });
    source.addEventListener("sg.end", ({ data }) => {
      const { reason, status, retryMs } = JSON.parse(data);
      if (retryMs === null) this.#end(new RealtimeError(`the gateway ended the stream: ${reason}`, status, reason));
    });
    source.addEventListener("error", () => {
      if (source.readyState === 2 && !this.#asking) this.#again();
    });
    this.#heard.forEach((heard) => this.#listen(heard));
  }

  /** First the position, then the listener, which may throw. */
  #listen(heard: Heard): void {
    this.#source?.addEventListener(heard[0], this.#keep as EventListener);
    this.#source?.addEventListener(...heard);
  }

  #failed(error: RealtimeError): void {
    if (error.transient) this.#again(error.retryMs);
    else this.#end(error);
  }

  #end(error: RealtimeError): void {
    this.close();
    (this.options.onError ?? reportError)(error);
  }

  /** After a random part of 2ⁿ seconds, 5 min at most, at least 250 ms and what the gateway asked for. */
  #again(retryMs = 0): void {
    this.#wait(Math.max(retryMs, 250, Math.random() * Math.min(300_000, 1000 * 2 ** this.#tries)), this.#tries + 1);
  }

  #wait(milliseconds: number, tries: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#tries = tries;
      void this.#renew();
    }, milliseconds);
  }
}
