import { describe, expect, test } from "vitest";
import { control, frame, problem } from "./gateway";
import { settle, Tab, World } from "./world";
import type { ClientOptions } from "../src/types";

async function start(options: ClientOptions = {}, channels: string | string[] = "a", world = new World()) {
  const tab = world.tab({ ...Tab.alone, ...options });
  const got: unknown[] = [];
  const subscription = tab.client.subscribe(channels, (event) => got.push(event.data));
  await world.advance(100);
  return { world, gateway: world.gateway, tab, client: tab.client, got, subscription };
}

const patches = (world: World) => world.requests.filter((r) => r.startsWith("PATCH")).length;

describe("subscriptions", () => {
  test("come and go on one stream", async () => {
    const { world, gateway, client, got, subscription } = await start();
    const late: unknown[] = [];
    client.subscribe(["b.*", "c"], (e) => late.push(e.data));
    await world.advance(50);
    expect([...gateway.open[0]!.channels]).toEqual(["a", "b.*", "c"]);
    gateway.publish("b.1", 1);
    gateway.publish("c", 2);
    subscription.unsubscribe();
    await world.advance(50);
    expect([...gateway.open[0]!.channels]).toEqual(["b.*", "c"]);
    gateway.publish("a", 3);
    await settle();
    expect([got, late]).toEqual([[], [1, 2]]);
    expect(gateway.opened).toBe(1);
  });

  test("of one moment are one request, and one that is taken back is none", async () => {
    const { world, client } = await start();
    client.subscribe("b", () => {}).unsubscribe(); // as React's StrictMode does
    client.subscribe("c", () => {});
    client.subscribe("d", () => {});
    await world.advance(50);
    expect(patches(world)).toBe(1);
  });

  test("end by their signal, also by one that is over already", async () => {
    const { gateway, client } = await start();
    const got: unknown[] = [];
    const stop = new AbortController();
    client.subscribe("a", (e) => got.push(e.data), { signal: stop.signal });
    client.subscribe("a", (e) => got.push(e.data), { signal: AbortSignal.abort() });
    gateway.publish("a", 1);
    await settle();
    stop.abort();
    gateway.publish("a", 2);
    await settle();
    expect(got).toEqual([1]);
  });

  test("the last one takes the connection with it, the next one brings it back", async () => {
    const { world, gateway, client, subscription } = await start();
    subscription.unsubscribe();
    await world.advance(3000);
    expect([gateway.open.length, client.state]).toEqual([0, "idle"]);
    client.subscribe("b", () => {});
    await world.advance(100);
    expect([gateway.open.length, client.state]).toEqual([1, "connected"]);
  });

  test("get only the types they ask for", async () => {
    const { gateway, client } = await start();
    const got: unknown[] = [];
    client.subscribe("a", (e) => got.push(e.data), { type: ["paid", "sent"] });
    gateway.publish("a", 1, { type: "paid" });
    gateway.publish("a", 2);
    gateway.publish("a", 3, { type: "other" });
    gateway.publish("a", 4, { type: "sent" });
    await settle();
    expect(got).toEqual([1, 4]);
  });

  test("a handler that throws hurts no other, and is reported", async () => {
    const errors: unknown[] = [];
    const { gateway, client, got } = await start({ onError: (e) => errors.push(e) });
    client.subscribe("a", () => { throw new Error("mine"); });
    const after: unknown[] = [];
    client.subscribe("a", (e) => after.push(e.data));
    gateway.publish("a", 1);
    gateway.publish("a", 2);
    await settle();
    expect([got, after]).toEqual([[1, 2], [1, 2]]);
    expect(errors.map((e) => (e as Error).message)).toEqual(["mine", "mine"]);
  });

  test("made or ended by a handler take effect with the next event", async () => {
    const { gateway, client } = await start();
    const got: string[] = [];
    const first = client.subscribe("a", (e) => {
      got.push(`first ${e.data}`);
      first.unsubscribe();
      client.subscribe("a", (later) => got.push(`second ${later.data}`));
    });
    gateway.publish("a", 1);
    gateway.publish("a", 2);
    await settle();
    expect(got).toEqual(["first 1", "second 2"]);
  });

  test("refused by rights are told of it, and the others go on", async () => {
    const denied: unknown[] = [];
    const world = new World();
    world.gateway.denied = new Set(["secret", "late"]);
    const { client, gateway, got } = await start({ onDenied: (names) => denied.push(names) }, ["a", "secret"], world);
    client.subscribe("late", () => {}, { onDenied: (names) => denied.push(["mine", ...names]) });
    await world.advance(5000);
    gateway.publish("a", 1);
    await settle();
    expect(denied).toEqual([["secret"], ["mine", "late"]]);
    expect(got).toEqual([1]);
    expect(patches(world)).toBe(1);
  });

  test("refused by rights are left out of polls, which would be refused whole", async () => {
    const denied: unknown[] = [];
    const world = new World();
    world.gateway.denied = new Set(["secret", "other"]);
    world.gateway.flags = { sse: false };
    const { client, gateway, got } = await start({ onDenied: (names) => denied.push(...names) }, ["a", "secret"], world);
    client.subscribe("other", () => {});
    await world.advance(5000);
    gateway.publish("a", 1);
    await settle();
    expect(client.state).toBe("polling");
    expect(denied).toEqual(["secret", "other"]);
    expect(got).toEqual([1]);
  });

  test("survive a gateway that no longer knows the session", async () => {
    const { world, gateway, client, got } = await start();
    world.intercept = (url) => (url.pathname.includes("/sessions/") ? problem(404, "session-gone") : undefined);
    client.subscribe("b", (e) => got.push(e.data));
    await world.advance(2000);
    gateway.publish("b", 1);
    await settle();
    expect(got).toEqual([1]);
    expect(gateway.opened).toBe(2);
    expect(client.metrics().totalDisconnects).toBe(0);
  });
});

describe("the iterator", () => {
  test("gives events in order, waits, and ends the subscription when the loop is left", async () => {
    const { world, gateway, client, subscription } = await start();
    const got: unknown[] = [];
    const loop = (async () => {
      for await (const event of client.events("it")) {
        got.push(event.data);
        if (event.data === 3) break;
      }
    })();
    await world.advance(50);
    for (const n of [1, 2, 3, 4]) gateway.publish("it", n);
    await settle();
    await loop;
    await world.advance(50);
    expect(got).toEqual([1, 2, 3]);
    expect([...gateway.open[0]!.channels]).toEqual(["a"]);
    subscription.unsubscribe();
  });

  test("ends with its signal and with the client", async () => {
    const { world, client } = await start();
    const stop = new AbortController();
    const bySignal = client.events("x", { signal: stop.signal }).next();
    const byClient = client.events("y").next();
    await world.advance(50);
    stop.abort();
    client.close();
    expect((await bySignal).done).toBe(true);
    expect((await byClient).done).toBe(true);
  });

  test("that nobody reads ends with an error instead of filling memory", async () => {
    const { gateway, client } = await start();
    const events = client.events("a", { maxBuffered: 10 });
    for (let n = 0; n < 12; n++) gateway.publish("a", n);
    await settle();
    await expect(events.next()).rejects.toThrow("10 are waiting");
  });
});

describe("events that come again", () => {
  test("are dropped and counted, within an epoch by their order", async () => {
    const { gateway, client, got } = await start();
    gateway.publish("a", 1);
    gateway.publish("a", 2);
    gateway.open[0]!.write(frame(gateway.log, gateway.head));
    await settle();
    expect(got).toEqual([1, 2]);
    expect(client.metrics().duplicatesDetected).toBe(2);
  });

  test("are dropped by their id when another log has them, too", async () => {
    const { world, gateway, got } = await start();
    gateway.publish("a", "first", { id: "inv-1" });
    await settle();
    gateway.restart("epochb");
    gateway.publish("b", "fills");
    await world.advance(2000);
    gateway.publish("a", "first, by a publisher that tried again", { id: "inv-1" });
    gateway.publish("a", "second", { id: "inv-2" });
    await settle();
    expect(got).toEqual(["first", "second"]);
  });

  test("merged ones of which a part is known are completed from history, in order", async () => {
    const { gateway, got } = await start();
    gateway.publish("a", "x");
    gateway.publish("a", "y");
    gateway.log.push(...[3, 4].map((seq) => ({ seq, time: 0, channel: "a", id: `p${seq}`, data: `part ${seq}` })));
    const merged = { seq: 4, time: 0, channel: "a", id: "p4", data: "xypart 3part 4", n: 4, first: 1 };
    const next = { seq: 5, time: 0, channel: "a", id: "p5", data: "z" };
    gateway.open[0]!.write(frame([merged, next], "epocha.5"));
    await settle(10);
    expect(got).toEqual(["x", "y", "part 3", "part 4", "z"]);
  });
});

describe("resets and gaps", () => {
  test("another log resets everything, once, and goes on", async () => {
    const resets: unknown[] = [];
    const { world, gateway, got } = await start({ onReset: (r) => resets.push(r) }, ["a", "b"]);
    gateway.publish("a", 1);
    await settle();
    gateway.restart("epochb");
    await world.advance(3000);
    gateway.publish("a", 2);
    await settle();
    expect(resets).toEqual([{ reason: "epoch", channels: ["a", "b"] }]);
    expect(got).toEqual([1, 2]);
  });

  test("what was evicted resets just its channels, and what follows the reset is not older than it", async () => {
    const resets: unknown[] = [];
    const own: unknown[] = [];
    const { world, gateway, client, got } = await start({ onReset: (r) => resets.push(r.channels) }, ["a", "b"]);
    client.subscribe("a", () => {}, { onReset: (r) => own.push(r.channels) });
    gateway.publish("a", 1);
    await settle();
    gateway.cut();
    gateway.publish("a", 2);
    gateway.evicted = 2;
    gateway.publish("a", 3);
    gateway.publish("b", 4);
    await world.advance(3000);
    gateway.publish("a", 5);
    await settle();
    expect(own).toEqual([["a"]]);
    expect(resets).toEqual([["a"]]);
    expect(got).toEqual([1, 4, 5]);
  });

  test("without a hook the newest event of each exact channel is fetched", async () => {
    const { world, gateway, got } = await start();
    gateway.publish("a", 1);
    await settle();
    gateway.cut();
    gateway.publish("a", 2);
    gateway.publish("a", 3);
    gateway.evicted = 2;
    await world.advance(3000);
    gateway.publish("a", 4);
    await settle();
    expect(got).toEqual([1, 3, 4]);
  });

  test("gaps are told to those whom they concern", async () => {
    const gaps: unknown[] = [];
    const { gateway, client } = await start({ onGap: (g) => gaps.push(g) }, ["a", "b.*"]);
    gateway.control("sg.gap", { reason: "slow", after: "epocha.0", upto: "epocha.9", channels: [{ channel: "b.x", lost: 4 }, { channel: "zzz", lost: null }] }, "epocha.9");
    await settle();
    expect(gaps).toEqual([{ reason: "slow", channels: [{ channel: "b.x", lost: 4 }] }]);
    expect(client.metrics()).toMatchObject({ gaps: 1, cursor: "epocha.9" });
  });
});

describe("bad input", () => {
  test("frames that are malformed are counted and skipped, the cursor is right, and the page is told", async () => {
    const resets: unknown[] = [];
    const { world, gateway, client, got } = await start({ onReset: (r) => resets.push(r.reason) });
    gateway.publish("a", 1);
    const { write } = gateway.open[0]!;
    write("id: epocha.2\ndata: [{oops\n\n");
    write("id: epocha.3\ndata: {\"not\":\"an array\"}\n\n");
    write("event: sg.flags\ndata: nonsense\n\n");
    write("event: sg.reset\ndata: {\"all\":true}\n\n");
    write("event: sg.from-the-future\ndata: {}\n\n");
    write("id: ../../etc\ndata: [{\"seq\":4,\"channel\":\"a\",\"id\":\"x\",\"data\":4}]\n\n");
    write("id: epocha.5\ndata: [null, 7, {\"seq\":\"5\"}, {\"seq\":5,\"channel\":\"a\",\"id\":\"y\",\"data\":5}]\n\n");
    await settle();
    expect(got).toEqual([1, 4, 5]);
    expect(client.metrics()).toMatchObject({ malformed: 5, cursor: "epocha.5" });
    expect(resets).toEqual(["local", "local", "local"]);
    gateway.cut();
    await world.advance(2000);
    expect(world.requests.at(-1)).toContain("cursor=epocha.5");
  });

  test("hostile payloads stay data", async () => {
    const { gateway, client } = await start({}, ["a", "__proto__", "constructor"]);
    const got: any[] = [];
    client.subscribe("a", (e) => got.push(e.data));
    gateway.open[0]!.write('id: epocha.1\ndata: [{"seq":1,"time":0,"channel":"a","id":"__proto__","data":{"__proto__":{"polluted":1},"x":"<script>"}}]\n\n');
    gateway.open[0]!.write('id: epocha.2\ndata: [{"seq":2,"time":0,"channel":"__proto__","id":"c","data":1}]\n\n');
    await settle();
    expect(({} as any).polluted).toBeUndefined();
    expect(got[0].x).toBe("<script>");
    expect(client.metrics().eventsReceived).toBe(2);
  });
});

describe("tokens", () => {
  test("go into the header, never into the URL; after a 401 one new one is asked for", async () => {
    const world = new World();
    const tokens = ["old", "new"];
    const seen: unknown[] = [];
    world.intercept = (url, init) => {
      const header = (init.headers as Record<string, string>)["Authorization"]!;
      seen.push(header);
      expect(url.href).not.toMatch(/old|new/);
      return header === "Bearer new" ? undefined : problem(401, "token-expired");
    };
    const { client } = await start({ getToken: () => tokens.shift() ?? "none" }, "a", world);
    expect(client.state).toBe("connected");
    expect(seen).toEqual(["Bearer old", "Bearer new"]);
  });

  test("a second 401 stops, and so does the first without a provider", async () => {
    for (const getToken of [() => "bad", undefined]) {
      const world = new World();
      world.intercept = () => problem(401, "unauthenticated");
      const reasons: string[] = [];
      await start({ ...(getToken && { getToken }), onFallback: (r) => reasons.push(r) }, "a", world);
      await world.advance(60_000);
      expect(reasons).toEqual(["unauthenticated"]);
      expect(world.requests.length).toBe(getToken ? 2 : 1);
    }
  });

  test("a provider that fails is asked again, later", async () => {
    const world = new World();
    let asked = 0;
    const { client } = await start({ getToken: async () => { if (++asked < 3) throw new Error("login is down"); return "good"; } }, "a", world);
    expect(client.state).toBe("reconnecting");
    await world.advance(10_000);
    expect(client.state).toBe("connected");
  });

  test("are renewed on the running session before they end", async () => {
    let n = 0;
    const { world, gateway, client } = await start({ getToken: () => `token ${++n}` });
    const bodies: unknown[] = [];
    world.intercept = (url, init) => {
      if (!url.pathname.includes("/sessions/")) return undefined;
      bodies.push(JSON.parse(`${init.body}`));
      return new Response("{}");
    };
    gateway.control("sg.auth", { expiresAt: world.now + 60_000, renew: "session" });
    await world.advance(100);
    expect(bodies).toEqual([{ token: "token 2" }]);
    expect(gateway.opened).toBe(1);
    gateway.control("sg.auth", { expiresAt: world.now + 60_000, renew: "reconnect" });
    await world.advance(100);
    expect(gateway.opened).toBe(1); // not again at once: a token shorter than the notice would make that a loop
    await world.advance(5000);
    expect(gateway.opened).toBe(2);
    expect(client.metrics().totalDisconnects).toBe(0);
  });

  test("that are empty, of a provider that renews a cookie, are no header; the cookie is renewed before it ends and after a 401", async () => {
    let asked = 0;
    const world = new World();
    world.intercept = (url, init) => {
      expect(init.headers).not.toHaveProperty("Authorization");
      if (url.pathname.includes("/sessions/")) return problem(400, "invalid-parameter"); // a token that is none
      return asked < 2 ? problem(401, "unauthenticated") : undefined;
    };
    const { gateway, client } = await start({ credentials: "include", getToken: () => (asked++, "") }, "a", world);
    expect([client.state, asked, gateway.opened]).toEqual(["connected", 2, 1]);
    gateway.control("sg.auth", { expiresAt: world.now + 60_000, renew: "session" });
    await world.advance(5000);
    expect([client.state, asked, gateway.opened, client.metrics().totalDisconnects]).toEqual(["connected", 3, 2, 0]);
  });

  test("an expired session comes back with a new one, a revoked one as the gateway says and stops at its 403", async () => {
    let n = 0;
    const reasons: string[] = [];
    const { world, gateway, client } = await start({ getToken: () => `token ${++n}`, onFallback: (r) => reasons.push(r) });
    gateway.control("sg.end", { reason: "auth-expired", status: 401, retryMs: 0 });
    await world.advance(10);
    expect([gateway.opened, n]).toEqual([2, 2]);
    gateway.denied.add("a");
    gateway.control("sg.end", { reason: "auth-revoked", status: 403, retryMs: 1500 });
    await world.advance(1400);
    expect(client.state).toBe("reconnecting");
    await world.advance(1000);
    expect([client.state, n]).toEqual(["stopped", 3]);
    expect(reasons).toEqual(["channel-denied"]);
  });
});

describe("a reload", () => {
  test("goes on where the tab was", async () => {
    const { world, gateway, tab, got } = await start();
    gateway.publish("a", 1);
    await settle();
    const again = tab.reload();
    gateway.publish("a", 2);
    again.client.subscribe("a", (e) => got.push(e.data));
    await world.advance(100);
    gateway.publish("a", 3);
    await settle();
    expect(got).toEqual([1, 2, 3]);
  });

  test("gives channels that are subscribed to later what they missed, in order", async () => {
    const { world, gateway, tab } = await start({}, ["a", "lazy", "lazy.*"]);
    gateway.publish("a", 1);
    gateway.publish("lazy", 2);
    await settle();
    const again = tab.reload();
    gateway.publish("lazy", 3);
    gateway.publish("lazy.x", 4);
    const got: unknown[] = [];
    again.client.subscribe("a", (e) => got.push(e.data));
    await world.advance(1000);
    gateway.publish("a", 5);
    await settle();
    again.client.subscribe(["lazy", "lazy.*"], (e) => got.push(e.data));
    await world.advance(4);
    gateway.publish("lazy", 6);
    await world.advance(1000);
    gateway.publish("lazy", 7);
    await settle();
    expect(got).toEqual([5, 3, 4, 6, 7]);
  });

  test("works without storage, only without resume", async () => {
    const blocked = { get: () => { throw new Error("SecurityError"); }, set: () => { throw new Error("QuotaExceededError"); } };
    const world = new World();
    const tab = new Tab(world, Tab.alone, blocked as any);
    world.tabs.push(tab);
    const got: unknown[] = [];
    tab.client.subscribe("a", (e) => got.push(e.data));
    await world.advance(100);
    world.gateway.publish("a", 1);
    await world.advance(5000);
    tab.fire("pagehide");
    expect(got).toEqual([1]);
    expect(tab.client.state).toBe("connected");
  });

  test("with what is not ours in storage begins anew", async () => {
    for (const text of ["{", "null", '"x"', '{"cursor":"evil","names":[]}', '{"cursor":"epocha.1","names":"x"}']) {
      const world = new World();
      const tab = new Tab(world, Tab.alone, new Map([["sg:/v2/realtime:0", text]]));
      tab.client.subscribe("a", () => {});
      await world.advance(100);
      expect(tab.client.state).toBe("connected");
      expect(world.requests[0]).not.toContain("cursor");
    }
  });
});

describe("publishing", () => {
  test("repeats with the same key until it is taken", async () => {
    const { world, client } = await start();
    const keys: string[] = [];
    let fails = 3;
    world.intercept = (url, init) => {
      if (init.method !== "POST") return undefined;
      keys.push((init.headers as any)["Idempotency-Key"]);
      if (fails-- > 0) return fails === 2 ? Promise.reject(new TypeError("network")) : problem(503, "overload");
      return undefined;
    };
    const acked = client.publish("a", { n: 1 });
    await world.advance(20_000);
    expect(await acked).toEqual({ cursor: "epocha.1", duplicate: false, durability: "memory" });
    expect(keys.length).toBe(4);
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toMatch(/^[\x21-\x7e]{16,128}$/);
  });

  test("does not repeat what is refused, and ends with its signal", async () => {
    const { world, client } = await start();
    world.intercept = (_, init) => (init.method === "POST" ? problem(403, "channel-denied") : undefined);
    await expect(client.publish("a", 1)).rejects.toMatchObject({ status: 403, type: "channel-denied" });
    world.intercept = (_, init) => (init.method === "POST" ? problem(503, "overload") : undefined);
    const stop = new AbortController();
    const publishing = client.publish("a", 1, { signal: stop.signal }).catch((e) => e.name);
    await settle();
    stop.abort();
    await world.advance(5000);
    expect(await publishing).toBe("AbortError");
  });

  test("says what the data is", async () => {
    const { world, client } = await start();
    const sent: unknown[] = [];
    world.intercept = (_, init) => {
      if (init.method !== "POST") return undefined;
      sent.push([(init.headers as any)["Content-Type"], init.body]);
      return new Response('{"results":[{}]}');
    };
    await client.publish("a", { n: 1 });
    await client.publish("a", "text");
    await client.publish("a", new Uint8Array([1]));
    expect(sent).toEqual([["application/json", '{"n":1}'], ["text/plain", "text"], ["application/octet-stream", new Uint8Array([1])]]);
  });
});

describe("metrics", () => {
  test("have the nine names from the start, and the function is on the page", async () => {
    const { client } = await start();
    const nine = ["connectionState", "avgLatencyMs", "p95LatencyMs", "eventsReceived", "duplicatesDetected", "totalDisconnects",
      "reconnectAttempts", "connectionUptimeSeconds", "eventRate"];
    for (const name of nine) expect(client.metrics()).toHaveProperty(name);
    expect((globalThis as any).__realtimeMetrics()).toEqual(client.metrics());
    JSON.stringify(client.metrics());
  });

  test("latency allows for a clock that is wrong, rate is of ten seconds, replays do not count", async () => {
    const world = new World();
    world.gateway.skewMs = 90_000;
    const { gateway, client, got } = await start({}, "a", world);
    expect(client.metrics().clockOffsetMs).toBe(90_000);
    for (let n = 0; n < 100; n++) {
      gateway.publish("a", n, { time: gateway.now - (n < 90 ? 20 : 200) });
      await world.advance(100);
    }
    expect(client.metrics()).toMatchObject({ avgLatencyMs: 38, p95LatencyMs: 200, eventsReceived: 100 });
    expect(client.metrics().eventRate).toBeCloseTo(10, 0);
    gateway.cut();
    gateway.publish("a", "replayed", { time: gateway.now - 60_000 });
    await world.advance(20_000);
    expect(got.length).toBe(101);
    expect(client.metrics()).toMatchObject({ eventRate: 0, p95LatencyMs: 200 });
  });

  test("uptime and disconnects tell of the connection", async () => {
    const { world, gateway, client } = await start();
    await world.advance(30_000);
    expect(client.metrics().connectionUptimeSeconds).toBe(30);
    gateway.cut();
    await settle();
    expect(client.metrics().connectionUptimeSeconds).toBe(0);
    await world.advance(2000);
    expect(client.metrics()).toMatchObject({ totalDisconnects: 1, reconnectAttempts: 1, connectionState: "connected", role: "single" });
  });
});

describe("the beacon", () => {
  test("is off unless asked for, goes about once a minute and on leaving, and stops with its flag", async () => {
    const quiet = await start();
    await quiet.world.advance(300_000);
    expect(quiet.tab.beacons).toEqual([]);
    const { world, gateway, tab } = await start({ beacon: 1 });
    gateway.hb = 1e9;
    gateway.control("sg.drain", { inMs: 0, closeMs: 0 });
    await world.advance(600_000);
    expect(tab.beacons.length).toBeGreaterThanOrEqual(8);
    expect(tab.beacons.length).toBeLessThanOrEqual(12);
    const [url, ...body] = tab.beacons[0]!.split(" ");
    expect(url).toBe("/v2/realtime/beacon");
    expect(JSON.parse(body.join(" "))).toMatchObject({ connectionState: "connected", sid: expect.any(String) });
    expect(tab.beacons[0]!.length).toBeLessThan(4096);
    const before = tab.beacons.length;
    expect(JSON.parse(tab.beacons[0]!.slice(url!.length))).toMatchObject({ avgLatencyMs: null, p95LatencyMs: null });
    gateway.publish("a", 1);
    await settle();
    tab.fire("pagehide");
    expect(tab.beacons.length).toBe(before + 1);
    expect(JSON.parse(tab.beacons.at(-1)!.slice(url!.length))).toMatchObject({ avgLatencyMs: 0, p95LatencyMs: 0 });
    gateway.control("sg.flags", { flagsRev: 2, flags: { beacon: false } });
    await world.advance(300_000);
    expect(tab.beacons.length).toBe(before + 1);
  });
});

test("another pace of the beacon counts at once, and not after the wait of before", async () => {
  const { world, gateway, tab } = await start({ beacon: 1 });
  gateway.control("sg.flags", { flagsRev: 2, flags: { beacon: true }, beaconMs: 10_000 });
  await world.advance(12_000);
  expect(tab.beacons.length).toBe(1);
  await world.advance(120_000);
  expect(tab.beacons.length).toBeGreaterThanOrEqual(10);
  expect(tab.beacons.length).toBeLessThanOrEqual(16);
});

test("closing ends everything that runs or waits", async () => {
  const { world, gateway, client } = await start({ beacon: 1 });
  gateway.cut();
  await settle();
  client.close();
  await world.advance(100);
  expect(world.timers).toBe(0);
  expect([client.state, gateway.open.length]).toEqual(["closed", 0]);
  gateway.publish("a", 1);
  client.reconnect();
  client.subscribe("b", () => {});
  await world.advance(10_000);
  expect(gateway.open.length).toBe(0);
});
