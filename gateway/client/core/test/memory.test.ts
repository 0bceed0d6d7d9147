import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { Dedup, KEEP_MS, MAX_KEPT } from "../src/dedup";
import { World } from "./world";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

/** Entries held. */
const sizeOf = ({ _young, _old, _floors }: Dedup) => _young.size + _old.size + _floors.size;

const element = (seq: number, channel: string) => ({ seq, time: 0, channel, id: `publisher-${seq}`, data: null });

test("what is known of events is bounded in time and number, over a day of a million events in a million channels", () => {
  const dedup = new Dedup();
  const start = 1_700_000_000_000;
  const day = 86_400_000;
  const count = 1_000_000;
  let wrong = 0;
  let most = 0;
  for (let seq = 1; seq <= count; seq++) {
    const now = start + Math.floor((seq / count) * day);
    if (dedup._check(element(seq, `order.${seq}`), "epocha", now) !== "new") wrong++;
    most = Math.max(most, sizeOf(dedup));
  }
  expect(wrong).toBe(0);
  expect(most).toBeLessThanOrEqual(2 * MAX_KEPT);
  const inTime = Math.ceil(((2 * KEEP_MS) / day) * count);
  expect(sizeOf(dedup)).toBeLessThanOrEqual(2 * (inTime + 1));
  for (let seq = count; seq <= count + 50_000; seq++) dedup._check(element(seq, `burst.${seq}`), "epocha", start + day);
  expect(sizeOf(dedup)).toBeLessThanOrEqual(2 * MAX_KEPT);
}, 30_000);

test("two tabs over a simulated day: a flat heap, no timer left behind, nothing lost", async () => {
  const world = new World();
  const { gateway } = world;
  gateway.hb = 60_000;
  const counts = [0, 0];
  counts.forEach((_, i) => world.tab().client.subscribe(["a", "order.*"], () => counts[i]!++));
  await world.advance(1000);
  const heap: number[] = [];
  let sent = 0;
  let timers = 0;
  for (let hour = 0; hour < 24; hour++) {
    for (let beat = 0; beat < 60; beat++) { // every minute: some events and a heartbeat
      for (let i = 0; i < 32; i++) gateway.publish(i % 2 ? "a" : `order.${hour}-${beat}-${i}`, { n: ++sent });
      await world.advance(60_000);
      gateway.beat();
      if (beat % 15 === 0) gateway.cut();
      gateway.log.splice(0, Math.max(0, gateway.log.length - 200)); // the gateway's memory is not what is measured
    }
    world.requests.length = 0;
    timers = Math.max(timers, world.timers);
    gc();
    heap.push(Math.round(process.memoryUsage().heapUsed / 1024));
  }
  await world.advance(5000);
  expect(counts).toEqual([sent, sent]);
  expect(timers).toBeLessThan(20);
  const [first, last] = [heap[3]!, heap.at(-1)!];
  console.log(`heap over a simulated day of ${sent} events in two tabs: ${first} KiB after 4 h, ${last} KiB after 24 h`);
  expect(last - first).toBeLessThan(1024);
}, 60_000);

test("an hour of polls leaves no listener behind", async () => {
  const world = new World();
  world.gateway.flags = { sse: false };
  const tab = world.tab({ share: false });
  tab.client.subscribe("a", () => {});
  await world.advance(1000);
  let listeners = 0;
  const { addEventListener, removeEventListener } = AbortSignal.prototype;
  const counted = (step: number, real: any) => function (this: AbortSignal, ...args: any[]) {
    if (args[1]?.name === "abort") listeners += step; // the client's own; those of fetch belong to signals that go with their request
    return real.apply(this, args);
  };
  AbortSignal.prototype.addEventListener = counted(1, addEventListener);
  AbortSignal.prototype.removeEventListener = counted(-1, removeEventListener);
  try {
    const before = world.requests.length;
    await world.advance(3_600_000);
    expect(world.requests.length - before).toBeGreaterThan(100);
    expect(Math.abs(listeners)).toBeLessThanOrEqual(10); // each stream that is tried meanwhile has a signal of its own
  } finally {
    Object.assign(AbortSignal.prototype, { addEventListener, removeEventListener });
  }
});
