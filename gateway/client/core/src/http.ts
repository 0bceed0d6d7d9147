// Requests to the gateway: addresses, credentials, deadlines, and what an answer
// that is no success means.
import { isCursor } from "./cursor";
import type { Env } from "./env";
import type { ClientOptions, Cursor, RealtimeEvent } from "./types";

/** A request that did not succeed. `status` is 0 when there was no answer of the gateway. */
export class RealtimeError extends Error {
  constructor(
    message: string,
    readonly status = 0,
    /** The gateway's problem type, as `channel-denied`; `timeout` when there was no answer in time. */
    readonly type = "",
    /** When the gateway wants to be asked again. */
    readonly retryMs = 0,
    /** `poll` when streams are switched off. */
    readonly transport = "",
    /** What may not be read, where the gateway named it. */
    readonly channels: readonly string[] = [],
  ) {
    super(message);
    this.name = "RealtimeError";
  }

  /** Whether asking again may help. */
  get transient(): boolean {
    const { status } = this;
    return status === 0 || status === 408 || status === 409 || status === 425 || status === 429 || status >= 500;
  }
}

/** One answer of a long-poll. */
export interface Answer {
  cursor: Cursor;
  events: RealtimeEvent[];
  controls: { event: string; data: any }[];
  more: boolean;
  retryMs: number;
  time: number;
}

interface Ask<T = Response> {
  query?: Record<string, string | number | undefined>;
  body?: string | Uint8Array;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
  /** What is not read by then is no answer. */
  deadlineMs?: number;
  /** Reads the answer within the deadline; without it only the headers have to come. */
  read?: (response: Response) => T | Promise<T>;
}

/** The server gives 8 KiB for a URL; what is longer goes into a body. */
const MAX_URL = 7000;
const JSON_TYPE = { "Content-Type": "application/json" };

export class Gateway {
  readonly base: string;
  /** Names that may not be read, as far as the gateway has said; polls leave them out, since they are refused whole. */
  refused = new Set<string>();
  #token: Promise<string> | undefined;

  constructor(readonly env: Env, readonly options: ClientOptions) {
    this.base = (options.url ?? "/v2/realtime").replace(/\/+$/, "");
  }

  /** Forgets the token, so that the next request asks for a new one. False when there is no provider. */
  renew(): boolean {
    this.#token = undefined;
    this.refused.clear();
    return !!this.options.getToken;
  }

  token(): Promise<string> | undefined {
    const { getToken } = this.options;
    if (getToken && !this.#token) {
      const asked = (this.#token = Promise.resolve().then(getToken));
      asked.catch(() => this.#token === asked && (this.#token = undefined)); // a provider that failed is asked again
    }
    return this.#token;
  }

  /** Sends one request; resolves with what was read of a 200, and throws a RealtimeError for all else. */
  async ask<T = Response>(method: string, path: string, { query, body, headers, signal, deadlineMs = 10_000, read }: Ask<T> = {}): Promise<T> {
    const stop = new AbortController();
    const abort = () => stop.abort();
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
    let late = false;
    const done = this.env.after(deadlineMs, () => {
      late = true;
      abort();
    });
    try {
      const token = await this.token();
      const search = new URLSearchParams();
      for (const key in query) if (query[key] !== undefined) search.set(key, `${query[key]}`);
      const response = await this.env.fetch(`${this.base}/${path}${search.size ? `?${search}` : ""}`, {
        method, cache: "no-store", redirect: "error", signal: stop.signal,
        credentials: this.options.credentials ?? "same-origin",
        headers: { ...(token && { Authorization: `Bearer ${token}` }), ...headers },
        ...(body !== undefined && { body: body as BodyInit }),
      });
      if (response.status !== 200) throw await problem(response);
      return read ? await read(response) : (response as T);
    } catch (error) {
      throw error instanceof RealtimeError ? error : new RealtimeError(`asking the gateway: ${error}`, 0, late ? "timeout" : "");
    } finally {
      done();
      if (read) signal?.removeEventListener("abort", abort); // a signal may outlive thousands of polls
    }
  }

  json<T>(method: string, path: string, ask?: Ask<T>): Promise<T> {
    return this.ask<T>(method, path, { ...ask, read: (response) => response.json() });
  }

  /** Asks for a stream or, with `wait`, for one answer of a long-poll. */
  stream<T = Response>(channels: readonly string[], query: NonNullable<Ask["query"]>, ask: Ask<T>): Promise<T> {
    const list = channels.join(",");
    return list.length < MAX_URL
      ? this.ask<T>("GET", "stream", { ...ask, query: { channels: list, ...query } })
      : this.ask<T>("POST", "stream", { ...ask, body: JSON.stringify({ channels, ...query }), headers: { ...ask.headers, ...JSON_TYPE } });
  }

  async poll(channels: readonly string[], cursor: Cursor | null, waitSeconds: number, signal?: AbortSignal): Promise<Answer> {
    const names = channels.filter((name) => !this.refused.has(name));
    try {
      const answer = await this.stream<Answer>(names.length ? names : channels, { wait: waitSeconds, cursor: cursor ?? undefined, errors: "http" },
        { signal, deadlineMs: waitSeconds * 1000 + 10_000, headers: { Accept: "application/json" }, read: (response) => response.json() });
      if (!isCursor(answer?.cursor) || !Array.isArray(answer.events)) throw new RealtimeError("reading a poll: not an answer of the gateway");
      return answer;
    } catch (error) {
      const { refused } = this;
      const more = (error as RealtimeError).channels.filter((name) => names.includes(name));
      if (!more.length || more.length === names.length) throw error;
      for (const name of more) refused.add(name);
      return this.poll(channels, cursor, waitSeconds, signal);
    }
  }
}

/** Repeats a request that may succeed later, for at most so long. */
export async function persist<T>({ env }: Gateway, forMs: number, work: () => Promise<T>): Promise<T> {
  const end = env.now() + forMs;
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      const { transient, retryMs } = error as RealtimeError;
      const waitMs = Math.max(retryMs, 100, env.random() * Math.min(10_000, 500 * 2 ** tries));
      if (!transient || env.now() + waitMs > end) throw error;
      await new Promise<void>((done) => env.after(waitMs, done));
    }
  }
}

async function problem(response: Response): Promise<RealtimeError> {
  const { status, headers } = response;
  const told = await response.json().catch(() => ({}));
  const after = headers.get("Retry-After");
  const retryMs = told?.retryAfterMs ?? (after ? (+after >= 0 ? +after * 1000 : Date.parse(after) - Date.now()) : 0);
  const type = `${told?.type ?? ""}`.split(":").pop()!;
  return new RealtimeError(`the gateway answered ${status} ${type}`, status, type, retryMs > 0 ? retryMs : 0, told?.transport,
    Array.isArray(told?.channels) ? told.channels : []);
}
