// A gateway in memory, as far as its wire goes: streams in `array`, long-polls,
// PATCH, history, publish, time. It is what tests of states and faults run
// against; the browser tests have the real one.
import { covers } from "../src/cursor";
import type { RealtimeEvent } from "../src/types";
import type { Tab, World } from "./world";

interface Open {
  sid: string;
  tab: Tab;
  channels: Set<string>;
  write: (text: string) => void;
  end: () => void;
}

const BASE = "/v2/realtime/";
const utf8 = new TextEncoder();
const json = (body: unknown, status = 200, headers = {}) =>
  new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json", ...headers } });
export const problem = (status: number, type: string, more = {}) => json({ type: `urn:streamgateway:problem:${type}`, status, ...more }, status);

export class FakeGateway {
  epoch = "epocha";
  log: RealtimeEvent[] = [];
  /** Newest seq that cannot be read any more. */
  evicted = 0;
  hb = 15_000;
  /** How far this clock is ahead of the tabs'. */
  skewMs = 0;
  flags: Record<string, boolean> = { sse: true, unifiedStream: true };
  denied = new Set<string>();
  /** Streams that are open, in the order of their opening. */
  readonly open: Open[] = [];
  opened = 0;
  /** The network between this tab and here carries nothing: what is asked never gets an answer. */
  silent = false;
  /** Connections are refused at once. */
  down = false;
  #polls = new Set<() => void>();
  #sessions = 0;

  constructor(readonly world: World) {}

  get now(): number {
    return this.world.now + this.skewMs;
  }

  get head(): string {
    return `${this.epoch}.${this.log.at(-1)?.seq ?? 0}`;
  }

  publish(channel: string, data: unknown, more: Partial<RealtimeEvent> = {}): string {
    const seq = (this.log.at(-1)?.seq ?? 0) + 1;
    const event = { seq, time: this.now, channel, id: `id-${this.epoch}-${seq}`, data, ...more };
    this.log.push(event);
    for (const stream of [...this.open]) if (wants(stream.channels, channel)) stream.write(frame([event], `${this.epoch}.${seq}`));
    for (const wake of [...this.#polls]) wake();
    return this.head;
  }

  /** Another log, as after a restart of a gateway without a durable broker. */
  restart(epoch: string): void {
    this.cut();
    this.epoch = epoch;
    this.log = [];
    this.evicted = 0;
  }

  cut(): void {
    for (const stream of [...this.open]) stream.end();
  }

  control(event: string, data: unknown, id = ""): void {
    for (const stream of [...this.open]) stream.write(control(event, data, id));
  }

  beat(): void {
    for (const stream of [...this.open]) stream.write(`: hb ${this.now}\nid: ${this.head}\nevent: sg.cp\ndata:\n\n`);
  }

  async fetch(tab: Tab, url: URL, init: RequestInit): Promise<Response> {
    const { world } = this;
    world.requests.push(`${init.method} ${url.pathname.slice(BASE.length)}${url.search}`);
    const signal = init.signal!;
    signal.throwIfAborted();
    const aborted = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    aborted.catch(() => {});
    if (this.silent) return aborted;
    if (this.down || tab.offline) throw new TypeError("connection refused");
    const answered = await Promise.race([world.intercept(url, init), aborted]);
    signal.throwIfAborted();
    const response = answered ?? (await Promise.race([this.#answer(tab, url, init), aborted]));
    if (tab.frozen) await new Promise<void>((done) => tab.deliver(done));
    if (tab.dead) await new Promise(() => {});
    return response;
  }

  async #answer(tab: Tab, url: URL, init: RequestInit): Promise<Response> {
    const parts = url.pathname.slice(BASE.length).split("/");
    const body = init.body ? JSON.parse(`${init.body}`) : {};
    if (parts[0] === "time") return json({ t: this.now });
    if (parts[0] === "sessions") return this.#patch(parts[1]!, body);
    if (parts[0] === "stream") {
      const ask = init.method === "POST" ? body : { ...Object.fromEntries(url.searchParams), channels: url.searchParams.get("channels")!.split(",") };
      return this.#stream(tab, ask, init.signal!);
    }
    const channel = decodeURIComponent(parts[1]!);
    if (init.method === "POST") return json({ results: [{ cursor: this.publish(channel, body), duplicate: false }], durability: "memory" });
    const after = +(url.searchParams.get("cursor") ?? ".0").split(".")[1]!;
    const events = this.#after(after, new Set([channel]));
    return json({ events: parts[2] === "last" ? events.slice(-1) : events, cursor: this.head, complete: after >= this.evicted, more: false });
  }

  #stream(tab: Tab, ask: any, signal: AbortSignal): Response | Promise<Response> {
    if (this.flags["unifiedStream"] === false) return problem(503, "overload");
    if (this.flags["sse"] === false && ask.wait === undefined) return problem(503, "overload", { transport: "poll" });
    const channels = new Set<string>(ask.channels.filter((c: string) => !this.denied.has(c)));
    if (!channels.size) return problem(403, "channel-denied", { channels: ask.channels });
    const refused = ask.channels.filter((c: string) => this.denied.has(c));
    if (ask.wait !== undefined && refused.length) return problem(403, "channel-denied", { channels: refused }); // a poll is refused whole
    if (ask.wait !== undefined) return this.#poll(ask, channels, signal);
    const session = this.#begin(tab, channels, signal);
    const { resume, from, reset } = this.#resume(ask.cursor, channels);
    session.write("retry: 1000\n\n" + control("sg.open", {
      v: 2, sid: session.sid, rev: 1, cursor: from, resume, channels: [...channels], time: this.now, hb: this.hb, flags: this.flags, flagsRev: 1,
      denied: ask.channels.filter((c: string) => this.denied.has(c)).map((channel: string) => ({ channel, reason: "not-allowed" })),
    }));
    if (reset) session.write(control("sg.reset", reset));
    const replay = resume === "reset" || resume === "fresh" ? [] : this.#after(+from.split(".")[1]!, channels);
    for (const event of replay) if (!reset || !reset.channels.some((c) => covers(c.channel, event.channel))) session.write(frame([event], `${this.epoch}.${event.seq}`));
    session.write(control("sg.caught-up", { cursor: this.head, replayed: replay.length }, this.head));
    return new Response(session.body, { headers: { "Content-Type": "text/event-stream" } });
  }

  #begin(tab: Tab, channels: Set<string>, signal: AbortSignal) {
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({ start: (c) => void (controller = c) });
    let over = false;
    const session = {
      sid: `${this.#sessions++}`, tab, channels, body,
      write: (text: string) => tab.deliver(() => over || controller.enqueue(utf8.encode(text))),
      end: () => close(() => controller.close()),
    };
    const close = (how: () => void) => {
      if (over) return;
      tab.deliver(() => { over = true; how(); });
      this.open.splice(this.open.indexOf(session), 1);
      tab.streams.delete(session.end);
    };
    signal.addEventListener("abort", () => close(() => controller.error(signal.reason)));
    tab.streams.add(session.end);
    this.open.push(session);
    this.opened++;
    return session;
  }

  #resume(cursor: string | undefined, channels: Set<string>): { resume: string; from: string; reset?: { reason: string; channels: { channel: string; evictedUpto?: string }[]; all?: boolean; resumeAt: string } } {
    if (!cursor) return { resume: "fresh", from: this.head };
    const [epoch, seq] = cursor.split(".") as [string, string];
    const all = (reason: string) => ({ resume: "reset", from: this.head, reset: { reason, channels: [], all: true, resumeAt: this.head } });
    if (epoch !== this.epoch) return all("epoch");
    if (+seq > (this.log.at(-1)?.seq ?? 0)) return all("future");
    if (+seq >= this.evicted) return { resume: "complete", from: cursor };
    const lost = [...channels].filter((c) => this.log.some((e) => covers(c, e.channel) && e.seq > +seq && e.seq <= this.evicted));
    if (!lost.length) return { resume: "complete", from: cursor };
    const evictedUpto = `${this.epoch}.${this.evicted}`;
    return { resume: "partial", from: cursor, reset: { reason: "evicted", channels: lost.map((channel) => ({ channel, evictedUpto })), resumeAt: this.head } };
  }

  async #poll(ask: any, channels: Set<string>, signal: AbortSignal): Promise<Response> {
    if (!ask.cursor) return json(this.#pollAnswer([], []));
    const { from, reset } = this.#resume(ask.cursor, channels);
    const now = () => (reset?.all ? [] : this.#after(+from.split(".")[1]!, channels));
    if (!reset && !now().length && +ask.wait > 0) await this.#wait(+ask.wait, signal, () => now().length > 0);
    return json(this.#pollAnswer(now(), reset ? [{ event: "sg.reset", data: reset }] : []));
  }

  #wait(seconds: number, signal: AbortSignal, ready: () => boolean): Promise<void> {
    return new Promise((done) => {
      const finish = () => {
        this.#polls.delete(wake);
        cancel();
        done();
      };
      const wake = () => ready() && finish();
      const cancel = this.world.after(seconds * 1000, finish);
      signal.addEventListener("abort", finish);
      this.#polls.add(wake);
    });
  }

  #pollAnswer(events: RealtimeEvent[], controls: unknown[]) {
    return { sid: null, cursor: this.head, events, controls, more: false, retryMs: 0, time: this.now };
  }

  #patch(sid: string, { add = [], remove = [] }: { add?: string[]; remove?: string[] }): Response {
    const stream = this.open.find((s) => s.sid === sid);
    if (!stream) return problem(404, "session-gone");
    const denied = add.filter((c) => this.denied.has(c));
    if (denied.length && denied.length === add.length) return problem(403, "channel-denied", { channels: denied });
    for (const c of remove) stream.channels.delete(c);
    for (const c of add) if (!this.denied.has(c)) stream.channels.add(c);
    stream.write(control("sg.open", { v: 2, sid, rev: 2, cursor: this.head, channels: [...stream.channels], denied: [], time: this.now, hb: this.hb, flags: this.flags }));
    return json({ sid, rev: 2, channels: [...stream.channels], denied: denied.map((channel) => ({ channel, reason: "not-allowed" })), effective: this.head });
  }

  #after(seq: number, channels: Set<string>): RealtimeEvent[] {
    return this.log.filter((e) => e.seq > Math.max(seq, this.evicted) && wants(channels, e.channel));
  }
}

const wants = (channels: Set<string>, channel: string) => [...channels].some((c) => covers(c, channel));
export const frame = (elements: unknown[], id: string) => `${id && `id: ${id}\n`}data: ${JSON.stringify(elements)}\n\n`;
export const control = (event: string, data: unknown, id = "") => `${id && `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
