// One session on one stream: reads its frames, and keeps its subscriptions as
// the connection wants them.
import type { Connection } from "./connect";
import { isCursor, later } from "./cursor";
import { RealtimeError } from "./http";
import type { Frame } from "./parse";
import { openStream, type Stream } from "./stream";
import type { Cursor, RealtimeEvent } from "./types";

const RENEW_MS = 5000; // at least between two renewals

const isElement = (e: any): e is RealtimeEvent => typeof e?.seq === "number" && typeof e.channel === "string";

export class Session {
  readonly stream: Stream;
  /** Names that the gateway was asked for and answered, allowed or not. */
  readonly asked: Set<string>;
  sid = "";
  openedAt = 0;
  #at: Cursor | null; // all up to it came on this stream, or was behind it when it opened
  #live = false;
  #syncing = false;
  #renewedAt = 0;
  readonly #connection: Connection;
  readonly #askedAt: number;

  constructor(connection: Connection, query: Record<string, string | number>) {
    this.#connection = connection;
    this.#at = connection.position;
    this.asked = new Set(connection.wanted);
    this.#askedAt = connection.gateway.env.now();
    this.stream = openStream(connection.gateway, connection.wanted, { cursor: this.#at ?? undefined, ...query }, {
      frame: (frame) => this.#frame(frame),
      beat: () => connection.sink.beat(),
      retry: (milliseconds) => connection.setRetry(milliseconds),
      over: (cause) => connection.over(this, cause),
    });
  }

  /** Brings the session to what is wanted by now; calls while one runs are made up for. */
  sync(): void {
    if (this.#syncing || !this.sid) return;
    const { wanted } = this.#connection;
    const add = wanted.filter((name) => !this.asked.has(name));
    const remove = [...this.asked].filter((name) => !wanted.includes(name));
    if (!wanted.length || add.length + remove.length === 0) return this.#connection.settle();
    this.#syncing = true;
    void this.#patch(add, remove).then((againMs) => {
      this.#connection.gateway.env.after(againMs, () => {
        this.#syncing = false;
        if (this.#connection.current === this) this.sync();
      });
      this.#connection.settle();
    });
  }

  /** Renews the right to read, before it ends; tokens that are too short for the gateway's notice do not make that a loop. */
  async #renew(how: string): Promise<void> {
    const { gateway } = this.#connection;
    const waitMs = this.#renewedAt + RENEW_MS - gateway.env.now();
    if (waitMs > 0) await new Promise<void>((done) => gateway.env.after(waitMs, done));
    this.#renewedAt = gateway.env.now();
    if (this.#connection.current !== this || !gateway.renew()) return;
    if (how !== "session") return this.#connection.move();
    try {
      await gateway.json("PATCH", `sessions/${this.sid}`, { body: JSON.stringify({ token: await gateway.token() }), headers: { "Content-Type": "application/json" } });
    } catch {
      this.#connection.move();
    }
  }

  /** Resolves with when to look again. */
  async #patch(add: string[], remove: string[]): Promise<number> {
    const { gateway } = this.#connection;
    try {
      const body = JSON.stringify({ ...(add.length && { add }), ...(remove.length && { remove }) });
      const answer = await gateway.json<any>("PATCH", `sessions/${this.sid}`, { body, headers: { "Content-Type": "application/json" } });
      for (const name of remove) this.asked.delete(name);
      this.#ask(add, answer.effective);
      this.#denied(answer.denied);
      return 0;
    } catch (thrown) {
      const error = thrown as RealtimeError;
      if (error.type === "session-gone") this.#connection.move();
      else if (!error.transient && add.length) {
        this.#ask(add, this.#at);
        this.#connection.deny(add);
        return 0;
      }
      return Math.max(500, error.retryMs);
    }
  }

  #ask(names: readonly string[], from: Cursor | null): void {
    for (const name of names) this.asked.add(name);
    this.#connection.reads(names, from);
  }

  #denied(denied: { channel: string }[] | undefined): void {
    if (denied?.length) this.#connection.deny(denied.map((d) => d.channel));
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
    if (!event) {
      const elements = value.filter(isElement);
      this.#move(elements, cursor);
      if (elements.length < value.length) this.#malformed("", cursor);
    } else this.#control(event, value, cursor);
  }

  /** What could not be read may have been an event, so nobody can say that nothing is missing. */
  #malformed(event: string, cursor: Cursor | null): void {
    const { sink } = this.#connection;
    sink.malformed();
    if (!event && this.#at) sink.reset({ reason: "local", channels: [], all: true, resumeAt: cursor ?? this.#at });
    if (cursor) this.#move([], cursor);
  }

  #move(elements: RealtimeEvent[], cursor: Cursor | null): void {
    const prev = this.#at;
    const to = cursor ?? prev;
    if (!to || (to === prev && !elements.length)) return;
    this.#at = to;
    this.#connection.position = later(this.#connection.position, to);
    this.#connection.sink.batch({ prev, cursor: to, elements, live: this.#live });
  }

  #control(event: string, data: any, cursor: Cursor | null): void {
    const connection = this.#connection;
    switch (event) {
      case "sg.open":
        return this.#opened(data);
      case "sg.caught-up":
        this.#move([], cursor);
        if (data.channels) return;
        this.#live = true;
        return connection.caughtUp(this);
      case "sg.reset":
        if (data.all && isCursor(data.resumeAt)) {
          this.#at = data.resumeAt;
          connection.caughtUp(this); // another log: what the old stream still says would only confuse
        }
        return connection.reset(data);
      case "sg.gap":
        connection.sink.gap(data);
        return this.#move([], cursor);
      case "sg.flags":
        return connection.flags(data.flags ?? {}, data.beaconMs);
      case "sg.drain":
        return connection.move(data.inMs);
      case "sg.auth":
        return void this.#renew(data.renew);
    }
  }

  #opened(data: any): void {
    const connection = this.#connection;
    if (this.sid) return; // marks the place of a change that the answer to PATCH tells
    const now = connection.gateway.env.now();
    this.sid = `${data.sid}`;
    this.openedAt = now;
    if (data.hb > 0) this.stream.limitMs = 2.5 * data.hb;
    if (!this.#at && isCursor(data.cursor)) this.#move([], data.cursor); // a fresh start: this is where it is
    this.#ask([...this.asked], this.#at);
    connection.sink.clock(data.time, now - this.#askedAt);
    connection.gateway.refused.clear();
    this.#denied(data.denied);
    connection.opened(this, data.flags ?? {}, data.beaconMs);
  }
}
