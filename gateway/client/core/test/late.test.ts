// What the first event does not need comes as a chunk of its own, perhaps late.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { core } from "../../options.js";
import type { Env } from "../src/env";
import type { ClientOptions, RealtimeClient } from "../src/types";
import { settle, Tab, World } from "./world";

/** A world where the chunk cannot be loaded until `comes` is called. */
function without() {
  const world = new World();
  const load = world.late;
  let tries = 0;
  world.late = () => (tries++, Promise.reject(new TypeError("Failed to fetch dynamically imported module")));
  return { world, gateway: world.gateway, tries: () => tries, comes: () => void (world.late = load) };
}

async function start(made: ReturnType<typeof without>, options: ClientOptions = Tab.alone) {
  const tab = made.world.tab(options);
  const got: unknown[] = [];
  tab.client.subscribe("a", (e) => got.push(e.data), { onReset: (r) => got.push(`reset ${r.reason}`) });
  await made.world.advance(100);
  return { ...made, tab, client: tab.client, got };
}

describe("without its chunk a page", () => {
  test("gets its events, comes back from a cut without loss, and keeps asking for the chunk", async () => {
    const { world, gateway, client, got, tries } = await start(without());
    gateway.publish("a", 1);
    await settle();
    gateway.cut();
    gateway.publish("a", 2);
    await world.advance(5000);
    gateway.down = true;
    gateway.cut();
    gateway.publish("a", 3);
    await world.advance(30_000);
    gateway.down = false;
    for (let waited = 0; client.state !== "connected" && waited < 100_000; waited += 500) await world.advance(500);
    expect(got).toEqual([1, 2, 3]);
    expect(client.metrics()).toMatchObject({ totalDisconnects: 2, eventsReceived: 3, avgLatencyMs: 0 });
    expect(tries()).toBeGreaterThan(4);
  });

  test("shares one connection among tabs, and passes the lead on when it crashes", async () => {
    const made = without();
    const tabs = [await start(made, {}), await start(made, {}), await start(made, {})];
    await made.world.advance(1000);
    made.gateway.publish("a", 1);
    await made.world.advance(100);
    tabs[0]!.tab.crash();
    await made.world.advance(1000);
    made.comes();
    await made.world.advance(40_000);
    made.gateway.publish("a", 2);
    await made.world.advance(100);
    expect(made.gateway.open.length).toBe(1);
    for (const { got } of tabs.slice(1)) expect(got).toEqual([1, 2]);
  });

  test("waits with what has to be told in order, and with requests, until it comes", async () => {
    const { world, gateway, client, got, comes } = await start(without());
    gateway.publish("a", 1);
    await settle();
    gateway.restart("epochb");
    await world.advance(3000);
    gateway.publish("a", 2);
    const published = client.publish("a", 3);
    const more: unknown[] = [];
    client.subscribe("b", (e) => more.push(e.data));
    const events = client.events("a");
    await world.advance(10_000);
    expect(got).toEqual([1]);
    comes();
    await world.advance(40_000);
    expect(got.slice(0, 3)).toEqual([1, "reset epoch", 2]);
    await published;
    expect(got[3]).toBe(3);
    expect((await events.next()).value.data).toBe(2); // it was subscribed to from the beginning
    gateway.publish("b", "b");
    await settle();
    expect(more).toEqual(["b"]);
  });

  test("polls as soon as it comes, where a proxy holds streams back", async () => {
    const made = without();
    made.world.intercept = (url) =>
      (url.searchParams.has("wait") ? undefined : new Response(new ReadableStream(), { headers: { "Content-Type": "text/event-stream" } }));
    const { world, gateway, client, got, comes } = await start(made);
    await world.advance(20_000);
    expect(client.state).toBe("connecting");
    comes();
    await world.advance(31_000);
    gateway.publish("a", 1);
    await world.advance(1000);
    expect([client.state, got]).toEqual(["polling", [1]]);
  });

  test("leaves no timer behind when it is closed", async () => {
    const { world, client } = await start(without());
    client.close();
    await world.advance(60_000);
    expect(world.timers).toBe(0);
  });
});

describe("as it is published, with short names", () => {
  let folder: string;
  let createClient: (options: ClientOptions, env: Env) => RealtimeClient;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "client-"));
    await writeFile(join(folder, "package.json"), '{"type":"module"}');
    for (const [name, text] of Object.entries(await core())) await writeFile(join(folder, `${name}.js`), text);
    ({ createClient } = await import(/* @vite-ignore */ pathToFileURL(join(folder, "index.js")).href));
  }, 60_000);
  afterAll(() => rm(folder, { recursive: true }));

  /** A tab whose client is the published one, with the chunk that it loads by itself. */
  async function open(world: World, options: ClientOptions = {}) {
    const tab = world.tab(options);
    const { late: _, ...env } = tab.env();
    const client = createClient(options, env);
    const got: unknown[] = [];
    client.subscribe("a", (e) => got.push(e.data));
    for (let i = 0; i < 200 && !["connected", "follower"].includes(client.state); i++) await world.advance(50);
    return { client, got };
  }

  test("it shares, resumes, polls, publishes, and names what others read by its whole name", async () => {
    const world = new World();
    const { gateway } = world;
    const [one, two] = [await open(world), await open(world)];
    expect([one!.client.state, two!.client.state, gateway.open.length]).toEqual(["connected", "follower", 1]);
    for (let n = 1; n <= 3; n++) {
      gateway.publish("a", n);
      await settle();
      gateway.cut();
      for (let i = 0; i < 200 && !gateway.open.length; i++) await world.advance(50);
    }
    const published = two!.client.publish("a", { n: 4 });
    for (let i = 0; i < 200 && one!.got.length < 4; i++) await world.advance(50);
    expect(await published).toMatchObject({ cursor: "epocha.4", durability: "memory" });
    expect((await one!.client.history("a")).events.length).toBe(4);
    expect(Object.keys(two!.client.metrics()).sort()).toEqual([
      "avgLatencyMs", "buffering", "clockOffsetMs", "connectionState", "connectionUptimeSeconds", "cursor", "duplicatesDetected",
      "eventRate", "eventsReceived", "gaps", "malformed", "p95LatencyMs", "reconnectAttempts", "resets", "role", "tabs", "term",
      "totalDisconnects", "transport",
    ]);
    gateway.flags = { sse: false };
    gateway.control("sg.flags", { flagsRev: 2, flags: gateway.flags });
    for (let i = 0; i < 200 && one!.client.state !== "polling"; i++) await world.advance(50);
    gateway.publish("a", 5);
    await world.advance(1000);
    for (const { got } of [one!, two!]) expect(got.slice(0, 3).concat(got.slice(4))).toEqual([1, 2, 3, 5]);
    one!.client.close();
    two!.client.close();
  });
});
