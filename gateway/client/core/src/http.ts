// Requests to the gateway: addresses, credentials, deadlines, and what an answer
// that is no success means.
import { before, covers, isCursor, later } from "./cursor";
import type { Env } from "./env";
import type { Late } from "./late/index";
import type { ClientOptions } from "./types";

/** A request that did not succeed. `status` is 0 when there was no answer of the gateway. */
export class RealtimeError extends Error {
  declare readonly status: number;
  /** The gateway's problem type, as `channel-denied`; `timeout` when there was no answer in time. */
  declare readonly type: string;
  /** When the gateway wants to be asked again. */
  declare readonly retryMs: number;
  /** `poll` when streams are switched off. */
  declare readonly transport: string;
  /** What may not be read, where the gateway named it. */
  declare readonly channels: readonly string[];
  /** Whether asking again may help. */
  declare readonly transient: boolean;

  constructor(message: string, status = 0, type = "", retryMs = 0, transport = "", channels: readonly string[] = []) {
    super(message);
    const transient = !status || status >= 500 || [408, 409, 425, 429].includes(status);
    Object.assign(this, { name: "RealtimeError", status, type, retryMs, transport, channels, transient });
  }
}

export interface Ask {
  /** JSON, unless the headers say otherwise. */
  body?: string | Uint8Array;
  headers?: Record<string, string>;
  /** Aborted by the deadline, too. */
  stop?: AbortController;
  /** What has not come by then is no answer: all of it or, of a stream, the headers. */
  deadlineMs?: number;
}

/** The server gives 8 KiB for a URL; what is longer goes into a body. */
const MAX_URL = 7000;
const JSON_TYPE = "application/json";
export const SSE_TYPE = "text/event-stream";
const TIMEOUT = "timeout";
const load = () => import("./late/index").then((chunk) => chunk.default);

/** What one client asks the gateway through. */
export class Gateway {
  readonly _base: string;
  /** Names that may not be read, as far as the gateway has said; polls leave them out, since they are refused whole. */
  readonly _refused = new Set<string>();
  readonly _env: Env;
  /** Aborted by `close`. */
  readonly _closing = new AbortController();
  // What late/ needs of cursor.ts, which it would have to have once more.
  readonly _isCursor = isCursor;
  readonly _covers = covers;
  readonly _before = before;
  readonly _later = later;
  /** What `_late` loaded. */
  _parts: Late | undefined;
  readonly _options: ClientOptions;
  #asked: Promise<string> | undefined;

  constructor(options: ClientOptions, env: Env) {
    this._env = env;
    this._options = options;
    this._base = (options.url ?? "/v2/realtime").replace(/\/+$/, "");
  }

  /** Forgets the token, so that the next request asks for a new one. False when there is no provider. */
  _renew(): boolean {
    this.#asked = undefined;
    this._refused.clear();
    return !!this._options.getToken;
  }

  /** A provider that failed is asked again. */
  _token(): Promise<string> | undefined {
    const { getToken } = this._options;
    return (this.#asked ??= getToken && Promise.resolve().then(getToken).catch((error) => {
      this.#asked = undefined;
      throw error;
    }));
  }

  /** What the first event does not need; resolves when it is loaded, however often that takes. */
  async _late(): Promise<Late> {
    for (let waitMs = 500; !this._parts; waitMs = Math.min(30_000, waitMs * 2)) {
      await (this._env.late ?? load)().then((parts) => (this._parts = parts), () => new Promise<void>((again) => this._closing.signal.aborted || this._env.after(waitMs, again)));
    }
    return this._parts;
  }

  /** What was thrown, as a RealtimeError. */
  _error(error: unknown): RealtimeError {
    return error instanceof RealtimeError ? error : new RealtimeError(`asking the gateway: ${error}`, 0, error === TIMEOUT ? TIMEOUT : "");
  }

  /** Runs something that nobody waits for. */
  _soon(run: (late: Late) => unknown): void {
    void this._late().then(run);
  }

  /** Sends one request; resolves with the JSON of a 200, or with its response when that is a stream, and throws a RealtimeError for all else. */
  async _ask<T = any>(method: string, path: string, { body, headers, stop = new AbortController(), deadlineMs = 10_000 }: Ask = {}, stream = false): Promise<T> {
    const done = this._env.after(deadlineMs, () => stop.abort(TIMEOUT));
    try {
      const token = await this._token();
      const response = await this._env.fetch(`${this._base}/${path}`, {
        method, cache: "no-store", redirect: "error", signal: stop.signal,
        credentials: this._options.credentials ?? "same-origin",
        headers: {
          Accept: stream ? SSE_TYPE : JSON_TYPE,
          ...(token && { Authorization: `Bearer ${token}` }), ...(body !== undefined && { "Content-Type": JSON_TYPE }), ...headers,
        },
        ...(body !== undefined && { body: body as BodyInit }),
      });
      if (response.status !== 200) throw await problem(response);
      return stream ? response as T : await response.json();
    } catch (error) {
      throw this._error(error);
    } finally {
      done();
    }
  }

  /** Asks for a stream or, with `wait` in the query, for one answer of a long-poll. */
  _stream(channels: readonly string[], query: Record<string, string | number>, ask: Ask, stream: boolean): Promise<any> {
    const list = channels.join();
    return list.length < MAX_URL
      ? this._ask("GET", `stream?${new URLSearchParams({ channels: list, ...query as {} })}`, ask, stream)
      : this._ask("POST", "stream", { ...ask, body: JSON.stringify({ channels, ...query }) }, stream);
  }
}

/** What an answer that is no success says. */
export async function problem(response: Response): Promise<RealtimeError> {
  const { status, headers } = response;
  const told = (await response.json().catch(() => 0)) || {};
  const after = headers.get("Retry-After");
  const retryMs = told.retryAfterMs ?? (after ? (+after >= 0 ? +after * 1000 : Date.parse(after) - Date.now()) : 0);
  const type = `${told.type ?? ""}`.split(":").pop()!;
  return new RealtimeError(`the gateway answered ${status} ${type}`, status, type, retryMs > 0 ? retryMs : 0, told.transport,
    Array.isArray(told.channels) ? told.channels : []);
}
