// One session on one SSE stream, from the request to its end: reads its frames,
// keeps its subscriptions as the connection wants them, and watches for silence
// and for the signs of a proxy that holds bytes back. It never comes back by itself.
import type { Connection } from "./connect";
import { isCursor, later } from "./cursor";
import { SSE_TYPE, type RealtimeError } from "./http";
import { PADDED } from "./mode";
import { createParser, type Frame } from "./parse";
import type { Cursor, RealtimeEvent } from "./types";

const OPEN_MS = 3000; // also of headers, when another answer has just come through
const HELD_MS = 10_000; // of server time between heartbeats that arrive together

/** Why a stream is over: an error, or the gateway's word; with `retryMs` null nothing may come back. */
export type Cause = Pick<RealtimeError, "type" | "retryMs" | "transient"> & Partial<RealtimeError>;

/** Type of the cause when a proxy holds a stream back. */
export const HELD = "held";

const isElement = (e: any): e is RealtimeEvent => typeof e?.seq === "number" && typeof e.channel === "string";

export class Session {
  /** Names that the gateway was asked for and answered, allowed or not. */
  readonly _asked: Set<string>;
  _sid = "";
  /** All up to it came on this stream, or was behind it when it opened. */
  _at: Cursor | null;
  _openedAt = 0;
  _renewedAt = 0;
  _syncing = false;
  readonly #connection: Connection;
  readonly #env;
  readonly #askedAt: number;
  readonly #stop = new AbortController();
  #live = false;
  #closed = false;
  #lastByte: number;
  #beats: number[] = []; // heartbeats of one read, in server time
  #beaten = false; // a heartbeat came
  #limitMs = 37_500; // silence that makes the watchdog drop the stream; by the heartbeat that the gateway named
  #cancel = () => {};

  constructor(connection: Connection) {
    const { _client: client, _wanted: wanted, _position: position, _mode: mode } = connection;
    const padded = mode === PADDED;
    this.#connection = connection;
    this.#env = client._env;
    this._at = position;
    this._asked = new Set(wanted);
    this.#lastByte = this.#askedAt = this.#env.now();
    const query = { format: "array", errors: "http", ...(position && { cursor: position }), ...(padded && { pad: 1, compress: "off" }) };
    client._stream(wanted, query, { stop: this.#stop, ...(padded && { deadlineMs: OPEN_MS }) }, true)
      .then((response) => this.#read(response))
      .then(() => this._lose(), (error) => this.#over(client._error(error)));
  }

  /** Whether bytes came within the limit. */
  get _fresh(): boolean {
    return this.#env.now() - this.#lastByte < this.#limitMs;
  }

  /** Ends it as lost, or as held back. */
  _lose(type = "", retryMs = 0): void {
    this.#over({ type, retryMs, transient: true });
  }

  _close(): void {
    this.#closed = true;
    this.#cancel();
    this.#stop.abort();
  }

  #over(cause: Cause): void {
    if (this.#closed) return;
    this._close();
    this.#connection._over(this, cause);
  }

  async #read(response: Response): Promise<void> {
    if (this.#closed) return;
    if (!response.headers.get("Content-Type")?.startsWith(SSE_TYPE)) return;
    this.#cancel = this.#env.after(OPEN_MS, () => this._lose(HELD));
    const parser = createParser({
      frame: (frame) => this.#closed || this.#frame(frame),
      comment: (text) => {
        if (text.startsWith(" hb ")) this.#beats.push(+text.slice(4));
      },
      retry: (milliseconds) => (this.#connection._baseMs = Math.max(1000, milliseconds)),
    });
    const reader = response.body!.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (this.#closed || done) return;
      const slept = !this._fresh; // the page was frozen, and the kernel kept what came
      this.#lastByte = this.#env.now();
      parser.push(value);
      const beats = this.#beats.splice(0);
      if (!beats.length) continue;
      this.#beaten = true;
      this.#connection._client._share?._beat();
      if (!slept && beats.at(-1)! - beats[0]! > HELD_MS) this._lose(HELD);
    }
  }

  #watch(): void {
    const left = this.#lastByte + this.#limitMs - this.#env.now();
    if (left > 0) this.#cancel = this.#env.after(left, () => this.#watch());
    // Without one heartbeat since the answer began, something collects bytes; a timer that is late was asleep, which says nothing.
    else this._lose(this.#beaten || left < -HELD_MS ? "" : HELD);
  }

  _ask(names: Iterable<string>, from: Cursor | null, denied?: readonly { channel: string }[]): void {
    for (const name of names) this._asked.add(name);
    this.#connection._reads(names, from);
    if (denied?.length) this.#connection._client._deny(denied.map((d) => d.channel));
  }

  #frame({ event, id, data }: Frame): void {
    const cursor = isCursor(id) ? id : null;
    if (event === "sg.cp") return this.#move([], cursor);
    let value: any;
    try {
      value = JSON.parse(data);
      if (event ? typeof value !== "object" || !value : !Array.isArray(value)) throw 0;
    } catch {
      return this.#malformed(event, cursor);
    }
    if (event) return this.#control(event, value, cursor);
    const elements = value.filter(isElement);
    this.#move(elements, cursor);
    if (elements.length < value.length) this.#malformed("", cursor);
  }

  /** What could not be read may have been an event, so nobody can say that nothing is missing. */
  #malformed(event: string, cursor: Cursor | null): void {
    const connection = this.#connection;
    connection._client._count.malformed++;
    if (!event && this._at) connection._item({ reset: { reason: "local", channels: [], all: true, resumeAt: cursor ?? this._at } });
    this.#move([], cursor);
  }

  #move(elements: RealtimeEvent[], cursor: Cursor | null): void {
    const prev = this._at;
    const to = cursor ?? prev;
    if (!to || (to === prev && !elements.length)) return;
    this._at = to;
    this.#connection._position = later(this.#connection._position, to);
    this.#connection._item({ batch: { prev, cursor: to, elements, live: this.#live } });
  }

  #control(event: string, data: any, cursor: Cursor | null): void {
    const connection = this.#connection;
    switch (event.slice(3)) {
      case "open":
        return this.#opened(data);
      case "caught-up":
        this.#move([], cursor);
        if (data.channels) return;
        this.#live = true;
        return connection._aside?._caughtUp(this);
      case "reset":
        if (data.all && isCursor(data.resumeAt)) {
          this._at = data.resumeAt;
          connection._aside?._caughtUp(this); // another log: what the old stream still says would only confuse
        }
        return connection._reset(data);
      case "gap":
        connection._item({ gap: data });
        return this.#move([], cursor);
      case "flags":
        const before = connection._flags;
        connection._flag(data);
        return connection._beside((aside) => aside._flagged(before));
      case "drain":
        return connection._beside((aside) => aside._move(data.inMs));
      case "auth":
        return connection._client._soon((late) => late._renew(connection, this, data.renew));
      case "end":
        return this._lose(data.reason, data.retryMs);
    }
  }

  #opened({ sid, hb, cursor, time, denied, ...flags }: any): void {
    const connection = this.#connection;
    if (this._sid) return; // marks the place of a change that the answer to PATCH tells
    this.#cancel();
    this._sid = `${sid}`;
    this._openedAt = this.#env.now();
    if (hb > 0) this.#limitMs = 2.5 * hb;
    if (!this._at && isCursor(cursor)) this.#move([], cursor); // a fresh start: this is where it is
    connection._client._refused.clear();
    this._ask(this._asked, this._at, denied);
    connection._client._soon((late) => late._clock(connection._client, time, this._openedAt - this.#askedAt, this._openedAt));
    connection._opened(this, flags);
    if (!this.#closed) this.#watch();
  }
}
