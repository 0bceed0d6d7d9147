import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { RealtimeError, ticketSource, ticketUrl, type TicketSource, type TicketSourceOptions } from "../src/ticket";
import { problem } from "./gateway";

const LIFE_MS = 300_000;
const RENEWED_MS = 198_750; // after this much of it, with the chance that these tests have
const SKEW_MS = 3_600_000; // the gateway's clock is an hour ahead of the page's

/** A browser's EventSource; the test is what it is connected to. */
class Native extends EventTarget {
  static all: Native[] = [];
  static get last(): Native {
    return Native.all.at(-1)!;
  }
  readyState = 0;
  #id = "";
  constructor(readonly url: string) {
    super();
    Native.all.push(this);
  }
  close(): void {
    this.readyState = 2;
  }
  tell(type: string, data: unknown, id?: string): void {
    this.#id = id ?? this.#id;
    this.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data), lastEventId: this.#id }));
  }
  /** The network is back, or there for the first time. */
  open(cursor = "e.0"): void {
    this.readyState = 1;
    this.tell("sg.open", { cursor, time: Date.now() + SKEW_MS });
  }
  /** An answer that is no stream: a browser gives up. */
  giveUp(): void {
    this.readyState = 2;
    this.dispatchEvent(new Event("error"));
  }
  get asked(): Record<string, string> {
    return Object.fromEntries(new URL(this.url, "http://page").searchParams);
  }
}

/** A page with a gateway that gives tickets `t1`, `t2`, …, until `answers` has something else to say first. */
class Page {
  readonly requests: { url: string; init: RequestInit; body: any }[] = [];
  readonly answers: (Response | Error | "nothing")[] = [];
  readonly errors: RealtimeError[] = [];
  readonly heard: unknown[] = [];
  tokens = 0;
  tickets = 0;

  fetch = async (url: string, init: RequestInit): Promise<Response> => {
    this.requests.push({ url, init, body: init.body && JSON.parse(`${init.body}`) });
    const answer = this.answers.shift();
    if (answer === "nothing") return new Promise((_, no) => init.signal!.addEventListener("abort", () => no(init.signal!.reason)));
    if (answer instanceof Error) throw answer;
    return answer ?? Response.json({ ticket: `t${++this.tickets}`, expiresAt: Date.now() + SKEW_MS + LIFE_MS }, { status: 201 });
  };

  read(options: Partial<TicketSourceOptions> = {}): TicketSource {
    const getToken = () => `token${++this.tokens}`;
    const source = ticketSource(["orders.7", "prices.>"], { url: "/v2/realtime/", getToken, onError: (error) => this.errors.push(error), ...options });
    source.on("message", ({ data }) => this.heard.push(JSON.parse(data)));
    return source;
  }

  get authorized(): unknown[] {
    return this.requests.map(({ init }) => (init.headers as any)?.Authorization);
  }
}

const advance = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);

let page: Page;
beforeEach(() => {
  Native.all = [];
  page = new Page();
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  vi.stubGlobal("fetch", page.fetch);
  vi.stubGlobal("EventSource", Native);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe("a ticket's URL", () => {
  test("reads the channels that the token was swapped for, and does not hold the token", async () => {
    const { url, expiresAt } = await ticketUrl("orders.7", { url: "https://gateway.example/v2/realtime", getToken: async () => "secret", ttlSeconds: 60, query: { format: "envelope" } });
    expect(url).toBe("https://gateway.example/v2/realtime/stream?channels=orders.7&format=envelope&ticket=t1");
    expect(expiresAt).toBe(Date.now() + SKEW_MS + LIFE_MS);
    const [{ url: asked, init, body }] = page.requests as [Page["requests"][0]];
    expect([asked, init.method, body]).toEqual(["https://gateway.example/v2/realtime/tickets", "POST", { channels: ["orders.7"], ttlSeconds: 60 }]);
    expect(page.authorized).toEqual(["Bearer secret"]);
  });

  test("is refused as a RealtimeError: by the gateway, the network, time, the provider, a signal", async () => {
    const ask = (more = {}) => ticketUrl("a", { getToken: () => `${++page.tokens}`, ...more }).then(() => expect.unreachable(), (error) => error);
    page.answers.push(problem(403, "channel-denied", { channels: ["a"] }));
    expect(await ask()).toMatchObject({ status: 403, type: "channel-denied", channels: ["a"], transient: false });
    page.answers.push(new TypeError("network"));
    expect(await ask()).toMatchObject({ status: 0, transient: true });
    page.answers.push("nothing");
    const late = ask();
    await advance(10_000);
    expect(await late).toMatchObject({ status: 0, type: "timeout" });
    const stop = new AbortController();
    page.answers.push("nothing");
    const stopped = ask({ signal: stop.signal });
    await advance(1);
    stop.abort(new Error("left"));
    expect(await stopped).toMatchObject({ name: "RealtimeError", message: expect.stringContaining("left") });
    const asked = page.requests.length;
    expect(await ask({ signal: AbortSignal.abort() })).toBeInstanceOf(RealtimeError);
    expect(await ask({ getToken: () => Promise.reject(new Error("signed out")) })).toMatchObject({ message: expect.stringContaining("signed out") });
    expect([page.requests.length, vi.getTimerCount()]).toEqual([asked, 0]);
  });

  test("waits for a provider that asks somebody, and asks it once more after a 401", async () => {
    page.answers.push(problem(401, "token-expired"));
    const url = ticketUrl("a", { getToken: () => new Promise((done) => setTimeout(() => done(`token${++page.tokens}`), 60_000)) });
    await advance(120_000);
    expect((await url).url).toContain("ticket=t1");
    expect(page.authorized).toEqual(["Bearer token1", "Bearer token2"]);
  });
});

describe("a source of tickets", () => {
  test("goes on with the next ticket where it was, before the first one ends, by the gateway's clock", async () => {
    const source = page.read();
    await advance(0);
    expect([Native.last.asked, source.cursor]).toEqual([{ channels: "orders.7,prices.>", ticket: "t1" }, ""]);
    Native.last.open("e.4");
    expect(source.cursor).toBe("e.4");
    Native.last.tell("message", 1, "e.5");
    await advance(LIFE_MS / 2);
    Native.last.tell("sg.cp", "", "e.90");
    await advance(LIFE_MS / 4);
    const [first, second] = Native.all;
    expect(Native.all.length).toBe(2);
    expect([first!.readyState, second!.asked]).toEqual([2, { channels: "orders.7,prices.>", cursor: "e.90", ticket: "t2" }]);
    second!.open("e.90");
    second!.tell("message", 2, "e.91");
    expect([page.heard, source.cursor, page.authorized]).toEqual([[1, 2], "e.91", ["Bearer token1", "Bearer token2"]]);
  });

  test("keeps the stream that it has until there is another ticket, and takes its newest position", async () => {
    page.read();
    await advance(0);
    Native.last.open();
    page.answers.push(new TypeError("network"), problem(503, "overload", { retryAfterMs: 20_000 }), "nothing");
    await advance(RENEWED_MS);
    expect([page.requests.length, Native.last.readyState]).toEqual([2, 1]);
    await advance(500);
    expect(page.requests.length).toBe(3);
    await advance(19_999);
    expect(page.requests.length).toBe(3);
    await advance(1);
    expect(page.requests.length).toBe(4); // and no answer
    Native.last.tell("message", 1, "e.1");
    await advance(10_000 + 2000);
    expect(Native.all.map((s) => [s.readyState, s.asked["cursor"]])).toEqual([[2, undefined], [0, "e.1"]]);
    expect(page.errors).toEqual([]);
  });

  test("gets a new ticket when the browser gave up on one that has ended, and reads what came meanwhile", async () => {
    page.read();
    await advance(0);
    Native.last.open();
    Native.last.tell("message", 1, "e.1");
    vi.setSystemTime(Date.now() + 8 * 3_600_000); // asleep: no timer ran
    Native.last.tell("sg.end", { reason: "auth-expired", status: 401, retryMs: 300 });
    Native.last.giveUp();
    await advance(500);
    expect(Native.last.asked).toMatchObject({ cursor: "e.1", ticket: "t2" });
    expect(page.requests.map((r) => r.url)).toEqual(["/v2/realtime/tickets", "/v2/realtime/tickets"]);
  });

  test("lets the browser reconnect by itself, which does not put off the next ticket", async () => {
    page.read();
    await advance(0);
    Native.last.open();
    for (let i = 0; i < 3; i++) {
      Native.last.readyState = 0;
      Native.last.dispatchEvent(new Event("error"));
      await advance(RENEWED_MS / 3 - 1);
      Native.last.open();
    }
    expect([Native.all.length, page.requests.length]).toEqual([1, 1]);
    await advance(3);
    expect([Native.all.length, page.requests.length]).toEqual([2, 2]);
  });

  test("asks once more what a stream was refused for that never opened, and stops when a retry would not change it", async () => {
    page.read({ query: { format: "none" } });
    await advance(0);
    page.answers.push(problem(400, "invalid-parameter"));
    Native.last.giveUp();
    await advance(500);
    expect(page.requests[1]!.url).toBe("/v2/realtime/stream?channels=orders.7%2Cprices.%3E&format=none&ticket=t1&wait=0");
    expect(page.authorized[1]).toBeUndefined();
    expect(page.errors).toMatchObject([{ status: 400, type: "invalid-parameter" }]);
    expect([page.requests.length, vi.getTimerCount()]).toEqual([2, 0]);
  });

  test("waits longer and longer while streams are refused in passing, and begins anew when one is open", async () => {
    page.read();
    await advance(0);
    for (const waitMs of [500, 1000, 2000]) {
      page.answers.push(problem(401, "unauthenticated")); // the secret that tickets rest on is another one
      const before = Native.all.length;
      Native.last.giveUp();
      await advance(waitMs - 1);
      expect(Native.all.length).toBe(before);
      await advance(1);
      expect(Native.all.length).toBe(before + 1);
    }
    Native.last.open();
    await advance(RENEWED_MS); // renewed
    Native.last.open();
    Native.last.giveUp();
    await advance(500);
    expect(Native.all.length).toBe(6);
  });

  test("stops at a second 401 and at a 403, with the error of the gateway", async () => {
    page.read();
    await advance(0);
    Native.last.open();
    page.answers.push(problem(401, "unauthenticated"), problem(401, "token-expired"));
    await advance(LIFE_MS);
    expect(page.errors).toMatchObject([{ status: 401, type: "token-expired" }]);
    expect([Native.last.readyState, Native.all.length, vi.getTimerCount()]).toEqual([2, 1, 0]);

    const told: unknown[] = [];
    vi.stubGlobal("reportError", (error: unknown) => told.push(error));
    page.answers.push(problem(403, "channel-denied"));
    page.read({ onError: undefined as never });
    await advance(0);
    expect(told).toMatchObject([{ name: "RealtimeError", status: 403 }]);
  });

  test("stops when the gateway says that nobody is to come back", async () => {
    page.read();
    await advance(0);
    Native.last.open();
    Native.last.tell("sg.end", { reason: "flag-off", status: 503, retryMs: null });
    expect(page.errors).toMatchObject([{ status: 503, type: "flag-off" }]);
    await advance(LIFE_MS);
    expect([Native.all.length, Native.last.readyState]).toEqual([1, 2]);
  });

  test("carries listeners from one EventSource to the next, until they are taken away", async () => {
    const source = page.read({ query: { format: "typed", cursor: "e.0" } });
    const types: string[] = [];
    const stop = source.on("order.paid", ({ type }) => types.push(type));
    await advance(0);
    expect(Native.last.asked["cursor"]).toBe("e.0");
    Native.last.open();
    Native.last.tell("order.paid", 1, "e.7");
    await advance(RENEWED_MS);
    expect(Native.last.asked["cursor"]).toBe("e.7");
    Native.last.tell("order.paid", 2, "e.8");
    stop();
    Native.last.tell("order.paid", 3, "e.9");
    expect([types, source.cursor]).toEqual([["order.paid", "order.paid"], "e.9"]);
  });

  test("ends by close or a signal, at whatever point it is", async () => {
    const stop = new AbortController();
    page.answers.push("nothing");
    page.read({ signal: stop.signal });
    await advance(0);
    stop.abort(); // while it asks
    expect(page.requests[0]!.init.signal!.aborted).toBe(true);
    const source = page.read();
    await advance(0);
    Native.last.open();
    source.close(); // while it reads
    const waits = page.read({ signal: new AbortController().signal });
    await advance(0);
    Native.last.giveUp();
    waits.close(); // while it waits
    page.read({ signal: AbortSignal.abort() }); // before it began
    await advance(LIFE_MS);
    expect(Native.all.map((s) => s.readyState)).toEqual([2, 2]);
    expect([page.requests.length, page.errors, vi.getTimerCount()]).toEqual([3, [], 0]);
  });
});
