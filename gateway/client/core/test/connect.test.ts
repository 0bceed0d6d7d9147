import { describe, expect, test } from "vitest";
import { problem } from "./gateway";
import { settle, Tab, World } from "./world";

/** One tab that reads `a` and `b.*` without sharing, and what it got. */
async function start(options = {}, world = new World()) {
  const states: string[] = [];
  const fallbacks: string[] = [];
  const resets: unknown[] = [];
  const tab = world.tab({ share: false, onFallback: (reason) => fallbacks.push(reason), onReset: (r) => resets.push(r), ...options });
  tab.client.onState((state) => states.push(state));
  const got: unknown[] = [];
  tab.client.subscribe(["a", "b.*"], (event) => got.push(event.data));
  await world.advance(100);
  return { world, gateway: world.gateway, tab, client: tab.client, states, fallbacks, resets, got };
}

/** Time with the gateway's heartbeats in it. */
async function beats(world: World, milliseconds: number): Promise<void> {
  for (let t = 0; t < milliseconds; t += 15_000) {
    await world.advance(15_000);
    world.gateway.beat();
  }
}

const streamsAsked = (world: World) => world.requests.filter((r) => / stream\?/.test(r) && !r.includes("wait="));

describe("a stream", () => {
  test("delivers the events of its channels in order, with their fields", async () => {
    const { gateway, got, states, client } = await start();
    gateway.publish("a", 1);
    gateway.publish("c", 2);
    gateway.publish("b.x", { n: 3 });
    await settle();
    expect(got).toEqual([1, { n: 3 }]);
    expect(states).toEqual(["connecting", "connected"]);
    expect(client.metrics().cursor).toBe("epocha.3");
  });

  test("asks for arrays and real status codes, and puts its position into the URL", async () => {
    const { world, gateway } = await start();
    gateway.publish("a", 1);
    await settle();
    gateway.cut();
    await world.advance(5000);
    expect(streamsAsked(world)).toEqual([
      "GET stream?channels=a%2Cb.*&format=array&errors=http",
      "GET stream?channels=a%2Cb.*&format=array&errors=http&cursor=epocha.1",
    ]);
  });

  test("that is cut resumes without loss or double", async () => {
    const { world, gateway, got, states, client } = await start();
    for (let n = 1; n <= 20; n++) {
      gateway.publish("a", n);
      if (n % 5 === 0) {
        await settle();
        gateway.cut();
        gateway.publish("b.c", `after ${n}`);
        await world.advance(9000);
      }
    }
    expect(got).toEqual(gateway.log.map((e) => e.data));
    expect(client.metrics()).toMatchObject({ totalDisconnects: 4, duplicatesDetected: 0, eventsReceived: 24 });
    expect(states.slice(0, 5)).toEqual(["connecting", "connected", "reconnecting", "connecting", "connected"]);
  });

  test("whose channels make the URL too long is asked for by POST", async () => {
    const world = new World();
    const tab = world.tab(Tab.alone);
    const names = Array.from({ length: 90 }, (_, i) => `channel-${i}.${"x".repeat(64)}.${"y".repeat(64)}`);
    tab.client.subscribe(names, () => {});
    await world.advance(100);
    expect(world.requests).toEqual(["POST stream"]);
    expect(tab.client.state).toBe("connected");
  });

  test("without a byte for two and a half heartbeats is dropped, and one with heartbeats is not", async () => {
    const { world, gateway, states, client } = await start();
    for (let i = 0; i < 10; i++) {
      await world.advance(15_000);
      gateway.beat();
    }
    expect(states.at(-1)).toBe("connected");
    await world.advance(37_000);
    expect(gateway.opened).toBe(1);
    await world.advance(5000);
    expect(gateway.opened).toBe(2);
    expect(states).toEqual(["connecting", "connected", "reconnecting", "connecting", "connected"]);
    expect(client.metrics().buffering).toBe(false);
  });

  test("moves to a second connection when told to drain, without loss, double or a disconnect", async () => {
    const { world, gateway, got, states, client } = await start();
    gateway.control("sg.drain", { reason: "rollout", inMs: 2000, closeMs: 5000 });
    gateway.publish("a", 1);
    await world.advance(1900);
    expect(gateway.open.length).toBe(1);
    gateway.publish("a", 2);
    await world.advance(200);
    expect(gateway.opened).toBe(2);
    expect(gateway.open.length).toBe(1);
    gateway.publish("a", 3);
    await settle();
    expect(got).toEqual([1, 2, 3]);
    expect(states).toEqual(["connecting", "connected"]);
    expect(client.metrics().totalDisconnects).toBe(0);
  });

  test("that is drained before it could move comes back at once", async () => {
    const { world, gateway, client } = await start();
    gateway.control("sg.end", { reason: "drain", status: 503, retryMs: 5000 });
    await world.advance(1);
    expect(gateway.opened).toBe(2);
    expect(client.metrics().totalDisconnects).toBe(0);
  });

  test("keeps its old connection while the second one is refused", async () => {
    const { world, gateway, got, states } = await start();
    world.intercept = (url) => (url.pathname.endsWith("/stream") ? problem(503, "draining") : undefined);
    gateway.control("sg.drain", { reason: "rollout", inMs: 100, closeMs: 60_000 });
    await world.advance(2000);
    gateway.publish("a", 1);
    await settle();
    expect(got).toEqual([1]);
    world.intercept = () => undefined;
    await world.advance(20_000);
    expect(gateway.opened).toBe(2);
    expect(states).toEqual(["connecting", "connected"]);
  });
});

describe("waiting", () => {
  test("grows with full jitter up to five minutes, and never below a quarter of a second", async () => {
    const { world, gateway } = await start();
    gateway.down = true;
    gateway.cut();
    await world.advance(1);
    const waits: number[] = [];
    let before = world.now;
    for (let asked = streamsAsked(world).length; waits.length < 25; ) {
      await world.advance(50);
      if (streamsAsked(world).length === asked) continue;
      asked = streamsAsked(world).length;
      waits.push(world.now - before);
      before = world.now;
    }
    waits.forEach((wait, n) => {
      expect(wait).toBeGreaterThanOrEqual(200);
      expect(wait).toBeLessThanOrEqual(Math.max(250, Math.min(300_000, 1000 * 2 ** n)) + 100);
    });
    const late = waits.slice(10);
    expect(Math.max(...late)).toBeGreaterThan(200_000);
    expect(Math.min(...late)).toBeLessThan(100_000); // jitter goes all the way down
  }, 30_000);

  test("begins anew only after a minute of being connected", async () => {
    const { world, gateway } = await start();
    for (let i = 0; i < 6; i++) { // connects and is cut at once, again and again
      gateway.cut();
      while (!gateway.open.length) await world.advance(100);
    }
    await world.advance(30_000);
    gateway.cut();
    let before = world.now;
    while (!gateway.open.length) await world.advance(100);
    const grown = world.now - before;
    gateway.hb = 60_000;
    for (let i = 0; i < 6; i++) {
      await world.advance(15_000);
      gateway.beat();
    }
    gateway.cut();
    before = world.now;
    while (!gateway.open.length) await world.advance(100);
    expect(world.now - before).toBeLessThanOrEqual(1100);
    expect(grown).toBeGreaterThan(1100);
  });

  for (const [name, response] of [
    ["Retry-After", () => new Response("busy", { status: 503, headers: { "Retry-After": "7" } })],
    ["retryAfterMs", () => problem(429, "connection-limit", { retryAfterMs: 7000 })],
  ] as const) {
    test(`honours ${name}`, async () => {
      const { world, gateway, client } = await start();
      world.intercept = () => response();
      gateway.cut();
      await world.advance(1000);
      const asked = streamsAsked(world).length;
      expect(client.state).toBe("reconnecting");
      await world.advance(6000);
      expect(streamsAsked(world).length).toBe(asked);
      world.intercept = () => undefined;
      await world.advance(4000);
      expect(client.state).toBe("connected");
    });
  }

  test("honours the retryMs of an end, and does not count it as a token's fault", async () => {
    const { world, gateway } = await start();
    gateway.control("sg.end", { reason: "overload", status: 503, retryMs: 20_000 });
    await world.advance(19_900);
    expect(gateway.opened).toBe(1);
    await world.advance(200);
    expect(gateway.opened).toBe(2);
  });

  test("spreads by the gateway's retry field", async () => {
    const firstWaits = [];
    for (let seed = 0; seed < 20; seed++) {
      const { world, gateway } = await start({}, new World(seed));
      gateway.open[0]!.write("retry: 30000\n\n");
      await settle();
      gateway.cut();
      const before = world.now;
      while (!gateway.open.length) await world.advance(100);
      firstWaits.push(world.now - before);
    }
    expect(Math.max(...firstWaits)).toBeGreaterThan(10_000);
    expect(Math.max(...firstWaits)).toBeLessThanOrEqual(30_100);
  });
});

describe("an answer that is no stream", () => {
  const portal = () => new Response("<html>Please log in", { headers: { "Content-Type": "text/html" } });
  const transient: Record<string, () => Response | Promise<Response>> = {
    "an HTML page of a captive portal": portal,
    "a redirect": () => Promise.reject(new TypeError("redirect mode is error")),
    "500": () => problem(500, "internal"),
    "502 with HTML": () => new Response("<html>", { status: 502 }),
    "429": () => problem(429, "connection-limit"),
    "408": () => new Response("", { status: 408 }),
  };
  for (const [name, response] of Object.entries(transient)) {
    test(`${name}: waits and comes back without loss`, async () => {
      const { world, gateway, client, got, fallbacks } = await start();
      world.intercept = response;
      gateway.cut();
      gateway.publish("a", "missed");
      await world.advance(20_000);
      expect(["reconnecting", "connecting"]).toContain(client.state);
      world.intercept = () => undefined;
      for (let waited = 0; !gateway.open.length && waited < 70_000; waited += 500) await world.advance(500);
      expect(client.state).toBe("connected");
      expect(got).toEqual(["missed"]);
      expect(fallbacks).toEqual([]);
    });
  }

  for (const [status, type] of [[204, ""], [400, "invalid-parameter"], [403, "channel-denied"], [404, "not-found"], [422, "too-many-subscriptions"]] as const) {
    test(`${status}: stops and calls the fallback, once`, async () => {
      const { world, gateway, client, fallbacks } = await start();
      world.intercept = () => (status === 204 ? new Response(null, { status }) : problem(status, type));
      gateway.cut();
      await world.advance(600_000);
      expect(client.state).toBe("stopped");
      expect(fallbacks).toEqual([type || "204"]);
      const asked = streamsAsked(world).length;
      world.intercept = () => undefined;
      await world.advance(600_000);
      expect(streamsAsked(world).length).toBe(asked);
      client.reconnect();
      await world.advance(100);
      expect(client.state).toBe("connected");
    });
  }

  test("no answer at all: gives up after ten seconds and comes back", async () => {
    const { world, gateway, client } = await start();
    gateway.silent = true;
    gateway.cut();
    await world.advance(9000);
    gateway.silent = false;
    const asked = streamsAsked(world).length;
    expect(asked).toBe(2);
    await world.advance(10_000);
    expect(client.state).toBe("connected");
    expect(client.metrics().buffering).toBe(false);
  });
});

describe("a proxy that holds back", () => {
  const held = () => new Response(new ReadableStream(), { headers: { "Content-Type": "text/event-stream" } });

  test("without sg.open in three seconds it tries once with padding, then polls, and loses nothing", async () => {
    const { world, gateway, client, got, states } = await start();
    world.intercept = (url) => (url.searchParams.has("wait") ? undefined : held());
    gateway.cut();
    gateway.publish("a", 1);
    await world.advance(12_000);
    expect(client.state).toBe("polling");
    expect(streamsAsked(world).at(-1)).toContain("pad=1&compress=off");
    expect(client.metrics()).toMatchObject({ buffering: true, transport: "poll" });
    for (let n = 2; n <= 5; n++) {
      gateway.publish("b.x", n);
      await world.advance(10_000);
    }
    expect(got).toEqual([1, 2, 3, 4, 5]);
    expect(states.at(-1)).toBe("polling");
    world.intercept = () => undefined;
    await beats(world, 720_000);
    expect(client.state).toBe("connected");
    gateway.publish("a", 6);
    await settle();
    expect(got).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("so is one that holds back even the headers, if a short answer comes through", async () => {
    const { world, gateway, client, got } = await start();
    world.intercept = (url) => (url.searchParams.has("wait") ? undefined : new Promise(() => {}));
    gateway.cut();
    gateway.publish("a", 1);
    await world.advance(15_000);
    expect(client.state).toBe("polling");
    expect(client.metrics().buffering).toBe(true);
    expect(got).toEqual([1]);
  });

  test("so is one that lets the beginning through, and then nothing", async () => {
    const { world, gateway, client, got } = await start();
    gateway.open.splice(0); // what is written from here on arrives nowhere
    await world.advance(37_600);
    expect(client.state).not.toBe("polling");
    expect(streamsAsked(world).at(-1)).toContain("pad=1&compress=off");
    gateway.open.splice(0);
    gateway.publish("a", 1);
    await world.advance(38_000);
    expect(client.state).toBe("polling");
    expect(got).toEqual([1]);
  });

  test("two heartbeats of over ten seconds apart in one read tell it, too", async () => {
    const { world, gateway, client } = await start();
    gateway.open[0]!.write(`: hb ${world.now}\n\n: hb ${world.now + 15_000}\n\n`);
    await world.advance(100);
    expect(client.metrics().buffering).toBe(true);
    expect(streamsAsked(world).at(-1)).toContain("pad=1");
  });

  test("but not after the page itself had slept", async () => {
    const { world, gateway, tab, client } = await start();
    tab.freeze();
    for (let i = 0; i < 8; i++) {
      await world.advance(15_000);
      gateway.open[0]!.write(`: hb ${world.now}\n\n`);
    }
    tab.thaw();
    await world.advance(5000);
    expect(client.metrics().buffering).toBe(false);
    expect(client.state).toBe("connected");
  });

  test("while polling, channels that come later are read from where it is", async () => {
    const { world, gateway, client } = await start();
    gateway.flags["sse"] = false;
    gateway.control("sg.flags", { flagsRev: 2, flags: gateway.flags });
    await world.advance(1000);
    expect(client.state).toBe("polling");
    const got: unknown[] = [];
    client.subscribe("late", (e) => got.push(e.data));
    await world.advance(1000);
    gateway.publish("late", 1);
    await world.advance(1000);
    expect(got).toEqual([1]);
  });
});

describe("flags", () => {
  test("sse off moves to long-poll at once, and back when a stream is let in", async () => {
    const { world, gateway, client, got, states } = await start();
    gateway.publish("a", 1);
    gateway.flags = { sse: false };
    gateway.control("sg.flags", { flagsRev: 2, flags: { sse: false } });
    gateway.control("sg.end", { reason: "flag-off", status: 503, retryMs: 30_000 });
    await world.advance(500);
    expect(client.state).toBe("polling");
    gateway.publish("a", 2);
    await world.advance(100);
    gateway.flags = { sse: true };
    await beats(world, 720_000);
    expect(client.state).toBe("connected");
    gateway.publish("a", 3);
    await settle();
    expect(got).toEqual([1, 2, 3]);
    expect(states).not.toContain("stopped");
  });

  test("a stream that is refused in favour of polls is one", async () => {
    const world = new World();
    world.gateway.flags = { sse: false };
    const { client } = await start({}, world);
    await world.advance(500);
    expect(client.state).toBe("polling");
  });

  test("unifiedStream off stops, calls the fallback, and comes back within 72 s of its return", async () => {
    const { world, gateway, client, fallbacks, got } = await start();
    gateway.flags = { unifiedStream: false };
    gateway.control("sg.end", { reason: "flag-off", status: 503, retryMs: null });
    await world.advance(300_000);
    expect(client.state).toBe("stopped");
    expect(fallbacks).toEqual(["flag-off"]);
    gateway.publish("a", 1);
    gateway.flags = { unifiedStream: true };
    await world.advance(73_000);
    expect(client.state).toBe("connected");
    expect(got).toEqual([1]);
  });

  test("are handed to the page, with names that the client does not know, and change at once", async () => {
    const { gateway, client } = await start();
    const seen: unknown[] = [];
    client.onFlags((flags) => seen.push(flags));
    gateway.control("sg.flags", { flagsRev: 2, flags: { newCheckout: true } });
    await settle();
    expect(seen).toEqual([{ newCheckout: true }]);
    expect(client.flags).toEqual({ newCheckout: true });
    gateway.control("sg.flags", { flagsRev: 2, flags: { newCheckout: true } });
    await settle();
    expect(seen.length).toBe(1);
  });

  test("a change of compression moves to a new stream", async () => {
    const { world, gateway, client } = await start();
    gateway.control("sg.flags", { flagsRev: 2, flags: { compression: true } });
    gateway.flags = { compression: false };
    gateway.control("sg.flags", { flagsRev: 3, flags: gateway.flags });
    await world.advance(1100);
    expect(gateway.opened).toBe(2);
    expect(client.metrics().totalDisconnects).toBe(0);
  });
});

describe("the network", () => {
  test("offline waits for the browser's word, then connects within half a second", async () => {
    const { world, gateway, tab, client, got } = await start();
    tab.offline = true;
    tab.fire("offline");
    gateway.cut();
    gateway.publish("a", 1);
    await world.advance(600_000);
    expect(client.state).toBe("offline");
    expect(streamsAsked(world).length).toBe(1);
    tab.offline = false;
    tab.fire("online");
    await world.advance(600);
    expect(client.state).toBe("connected");
    expect(got).toEqual([1]);
  });

  test("online again ends a long wait", async () => {
    const { world, gateway, tab, client } = await start();
    gateway.control("sg.end", { reason: "overload", status: 503, retryMs: 200_000 });
    await world.advance(1000);
    expect(client.state).toBe("reconnecting");
    tab.fire("online");
    await world.advance(600);
    expect(client.state).toBe("connected");
  });

  test("a page that wakes with a stale stream does not wait for the watchdog", async () => {
    const { world, gateway, tab } = await start();
    tab.freeze();
    await world.advance(3_600_000);
    gateway.open.splice(0); // the gateway gave up long ago, and no FIN came through
    tab.thaw();
    tab.fire("visibilitychange");
    await world.advance(1600);
    expect(gateway.opened).toBe(2);
  });
});
