import { describe, expect, test } from "vitest";
import { settle, World, type Tab } from "./world";

const LOCK = "sg:/v2/realtime:0";

/** A tab that keeps what it got. */
function open(world: World, channels: string | string[] = "a", from?: Tab) {
  const tab = from ?? world.tab({ onReset: (r) => void got.push(`reset ${r.reason}`) });
  const got: unknown[] = [];
  tab.client.subscribe(channels, (event) => got.push(event.data));
  return { tab, got };
}

async function tabs(count: number, channels: string | string[] = "a", world = new World()) {
  const all = [];
  for (let i = 0; i < count; i++) {
    all.push(open(world, channels));
    await world.advance(50);
  }
  await world.advance(200);
  const leader = () => all.find(({ tab }) => tab === world.locks.holder(LOCK))!;
  return { world, gateway: world.gateway, all, leader, followers: () => all.filter((t) => t !== leader() && !t.tab.dead && !t.tab.frozen && t.tab.client.state !== "closed") };
}

/** Publishes to `a` every so often for a while. */
async function load(world: World, milliseconds: number, everyMs = 20): Promise<void> {
  for (let t = 0; t < milliseconds; t += everyMs) {
    world.gateway.publish("a", world.gateway.log.length + 1);
    await world.advance(everyMs);
  }
}

describe("ten tabs", () => {
  test("are one connection, and all get the same in the same order", async () => {
    const { world, gateway, all, followers } = await tabs(10);
    await load(world, 1000);
    expect([gateway.opened, gateway.open.length]).toEqual([1, 1]);
    for (const { got } of all) expect(got).toEqual(gateway.log.map((e) => e.data));
    expect(followers().map((t) => t.tab.client.state)).toEqual(Array(9).fill("follower"));
    expect(all[0]!.tab.client.metrics()).toMatchObject({ role: "leader", tabs: 10, term: 1, connectionState: "connected" });
    expect(all[9]!.tab.client.metrics()).toMatchObject({ role: "follower", tabs: 10, term: 1, transport: "sse", duplicatesDetected: 0 });
    expect(world.requests.length).toBe(1);
  });

  test("read the union of what they want, which shrinks when one goes", async () => {
    const { world, gateway, all } = await tabs(1);
    const second = open(world, ["b.*", "a"]);
    const third = open(world, "c");
    await world.advance(200);
    expect([...gateway.open[0]!.channels].sort()).toEqual(["a", "b.*", "c"]);
    for (const channel of ["a", "b.1", "c"]) gateway.publish(channel, channel);
    await settle();
    expect([all[0]!.got, second.got, third.got]).toEqual([["a"], ["a", "b.1"], ["c"]]);
    third.tab.fire("pagehide");
    third.tab.close();
    await world.advance(200);
    expect([...gateway.open[0]!.channels].sort()).toEqual(["a", "b.*"]);
    second.tab.crash(); // no last word: known by its lock
    await world.advance(61_000);
    expect([...gateway.open[0]!.channels]).toEqual(["a"]);
    expect(all[0]!.tab.client.metrics().tabs).toBe(1);
  });

  test("hear of flags, resets, gaps and denials as the leader does", async () => {
    const world = new World();
    world.gateway.denied.add("secret");
    const told: unknown[] = [];
    const { gateway, all } = await tabs(2, "a", world);
    all[1]!.tab.client.subscribe("secret", () => {}, { onDenied: (names) => told.push(["denied", ...names]) });
    all[1]!.tab.client.subscribe("a", () => {}, { onGap: (g) => told.push(["gap", g.channels[0]!.lost]), onReset: (r) => told.push(["reset", r.reason]) });
    await world.advance(200);
    gateway.control("sg.flags", { flagsRev: 2, flags: { newCheckout: false } });
    gateway.control("sg.gap", { reason: "slow", channels: [{ channel: "a", lost: 3 }], after: "epocha.0", upto: "epocha.0" });
    gateway.restart("epochb");
    await world.advance(4000);
    expect(told).toEqual([["denied", "secret"], ["gap", 3], ["denied", "secret"], ["reset", "epoch"]]);
    expect(all[1]!.got).toEqual(["reset epoch"]);
    gateway.publish("a", 1);
    await settle();
    expect([all[0]!.got, all[1]!.got]).toEqual([["reset epoch", 1], ["reset epoch", 1]]);
  });

  test("say what the leader's connection is", async () => {
    const { world, gateway, followers } = await tabs(3);
    gateway.down = true;
    gateway.cut();
    await world.advance(3000);
    expect(["reconnecting", "connecting"]).toContain(followers()[0]!.tab.client.state);
    followers()[0]!.tab.client.reconnect();
    gateway.down = false;
    await world.advance(60_000);
    expect(followers()[0]!.tab.client.state).toBe("follower");
  });
});

describe("the lead passes on under load, without loss or double,", () => {
  const ways: Record<string, (t: Tab) => void> = {
    "when the leader's tab is closed": (t) => (t.fire("pagehide"), t.close()),
    "when it crashes": (t) => t.crash(),
    "when it freezes without a word": (t) => t.freeze(),
    "when it is told that it will be frozen": (t) => (t.fire("freeze"), t.freeze()),
    "when its client is closed": (t) => t.client.close(),
  };
  for (const [name, end] of Object.entries(ways)) {
    test(name, async () => {
      const { world, gateway, all, leader, followers } = await tabs(5);
      for (let round = 0; round < 3; round++) {
        await load(world, 500);
        end(leader().tab);
        await load(world, 8000);
        await world.advance(3000);
        for (const { got } of followers()) expect(got).toEqual(gateway.log.map((e) => e.data));
      }
      const alive = all.filter((t) => !t.tab.dead && !t.tab.frozen && t.tab.client.state !== "closed");
      expect(alive.length).toBe(2);
      for (const t of all) t.tab.thaw();
      await load(world, 500);
      await world.advance(2000);
      for (const { tab, got } of all) if (!tab.dead && tab.client.state !== "closed") expect(got).toEqual(gateway.log.map((e) => e.data));
      expect(gateway.open.length).toBe(1);
    });
  }

  test("when it is hidden, to a visible tab, with the old connection until the new one has caught up", async () => {
    const { world, gateway, all, leader } = await tabs(3);
    const old = leader();
    await load(world, 200);
    old.tab.hide();
    await load(world, 2000);
    expect(leader()).not.toBe(old);
    expect(gateway.opened).toBe(2);
    expect(gateway.open.map((s) => s.tab)).toEqual([leader().tab]);
    for (const { got } of all) expect(got).toEqual(gateway.log.map((e) => e.data));
    expect(all[0]!.tab.client.metrics().totalDisconnects).toBe(0);
    expect(all[0]!.tab.client.state).toBe("follower");
  });

  test("but a hidden leader keeps it while nobody is visible, and no hidden tab steals", async () => {
    const { world, gateway, all, leader } = await tabs(3);
    const old = leader();
    for (const { tab } of all) tab.hide();
    await load(world, 5000);
    old.tab.freeze();
    await world.advance(120_000);
    expect(leader()).toBe(old);
    expect(gateway.opened).toBe(1);
    const other = all.find((t) => t !== old)!;
    other.tab.hide(false);
    await world.advance(25_000);
    expect(leader()).toBe(other);
    expect(other.got).toEqual(gateway.log.map((e) => e.data));
  });

  test("and a leader that was only slow to answer keeps it", async () => {
    const { world, leader } = await tabs(2);
    const old = leader();
    old.tab.freeze();
    await world.advance(5500);
    old.tab.thaw();
    await world.advance(5000);
    expect(leader()).toBe(old);
  });
});

describe("a tab that missed something", () => {
  test("gets it from the leader's memory", async () => {
    const { world, gateway, followers } = await tabs(2);
    const [frozen] = followers();
    await load(world, 100);
    const again = frozen!.tab.reload({ onReset: () => expect.unreachable() });
    await load(world, 400);
    const { got } = open(world, "a", again);
    await load(world, 400);
    expect(got).toEqual(gateway.log.slice(5).map((e) => e.data));
    expect(world.requests.length).toBe(1);
  });

  test("or from the gateway, when the leader remembers less", async () => {
    const { world, gateway, followers } = await tabs(2);
    await load(world, 100);
    const again = followers()[0]!.tab.reload();
    await load(world, 45_000, 20);
    const { got } = open(world, "a", again);
    await load(world, 400);
    expect(got).toEqual(gateway.log.slice(5).map((e) => e.data));
    expect(world.requests.filter((r) => r.includes("wait=0")).length).toBe(1);
  });

  test("or is told of a reset, when nobody can give it", async () => {
    const { world, gateway, followers } = await tabs(2);
    await load(world, 100);
    const again = followers()[0]!.tab.reload({});
    await load(world, 45_000, 20);
    world.intercept = (url) => (url.searchParams.has("wait") ? new Response("", { status: 404 }) : undefined);
    const got: unknown[] = [];
    again.client.subscribe("a", (e) => got.push(e.data), { onReset: (r) => got.push(r.reason) });
    await world.advance(1000);
    gateway.publish("a", "after");
    await settle();
    expect(got).toEqual(["local", "after"]);
  });

  test("frozen for an hour, gets all that is kept and is told of the rest", async () => {
    const { world, gateway, followers } = await tabs(2);
    await load(world, 100);
    const { tab, got } = followers()[0]!;
    tab.freeze();
    for (let i = 0; i < 40; i++) {
      await load(world, 1000);
      await world.advance(14_000);
      gateway.beat();
    }
    tab.thaw();
    await load(world, 100);
    expect(got).toEqual(gateway.log.map((e) => e.data)); // the messages waited for it
  });
});

describe("the flag sharedConnection", () => {
  test("gives every tab its own connection while it is off, without loss or double", async () => {
    const { world, gateway, all } = await tabs(4);
    await load(world, 200);
    gateway.flags = { sharedConnection: false };
    gateway.control("sg.flags", { flagsRev: 2, flags: gateway.flags });
    await load(world, 2000);
    expect(gateway.open.length).toBe(4);
    gateway.flags = { sharedConnection: true };
    gateway.control("sg.flags", { flagsRev: 3, flags: gateway.flags });
    await load(world, 3000);
    expect(gateway.open.length).toBe(1);
    for (const { got } of all) expect(got).toEqual(gateway.log.map((e) => e.data));
  });
});

test("without Web Locks each tab has a connection", async () => {
  const world = new World();
  world.locks.of = () => null as any;
  const { all, gateway } = await tabs(3, "a", world);
  await load(world, 200);
  expect(gateway.open.length).toBe(3);
  for (const { got } of all) expect(got).toEqual(gateway.log.map((e) => e.data));
});

test("other subjects and other gateways do not share", async () => {
  const world = new World();
  for (const options of [{}, { subject: "u7" }, { subject: "u8" }, { url: "/other/realtime/" }]) {
    world.tab(options).client.subscribe("a", () => {});
  }
  await world.advance(500);
  expect(world.gateway.open.length).toBe(3); // the fourth asks a path that this gateway does not have
});

/** Tabs come, go, crash, freeze, thaw, hide and reload at random while events flow and streams are cut. */
async function chaos(seed: number): Promise<void> {
  const world = new World(seed);
  const { gateway } = world;
  const pick = <T>(list: T[]): T => list[Math.floor(world.random() * list.length)]!;
  interface One { tab: Tab; got: number[]; first: number }
  let all: One[] = [];
  const begin = (tab: Tab) => {
    const one: One = { tab, got: [], first: -1 };
    tab.client.subscribe(["a", "b.*"], (event) => one.got.push(event.data as number));
    all.push(one);
  };
  const spawn = () => begin(world.tab({ onReset: (r) => expect.unreachable(`reset ${r.reason}`) }));
  spawn();
  spawn();
  await world.advance(300);
  for (let step = 0; step < 60; step++) {
    const living = all.filter((t) => !t.tab.dead);
    const leader = all.find((t) => t.tab === world.locks.holder(LOCK)) ?? living[0]!;
    const victim = world.random() < 0.5 ? leader : pick(living);
    const dice = world.random();
    if (living.length < 2 || (dice < 0.2 && living.length < 7)) spawn();
    else if (dice < 0.35) victim.tab.crash();
    else if (dice < 0.45) (victim.tab.fire("pagehide"), victim.tab.close());
    else if (dice < 0.6) victim.tab.freeze();
    else if (dice < 0.75) victim.tab.hide(!victim.tab.hidden);
    else if (dice < 0.85) gateway.cut();
    else for (const { tab } of living) tab.thaw();
    all = all.filter((t) => !t.tab.dead);
    for (let i = 0, n = Math.floor(world.random() * 60); i < n; i++) {
      gateway.publish(pick(["a", "b.x", "b.y", "c"]), gateway.log.length + 1);
      await world.advance(Math.floor(world.random() * 150));
    }
    if (step % 5 === 0) gateway.beat();
  }
  for (const { tab } of all) tab.thaw();
  if (!all.some((t) => !t.tab.hidden)) all[0]?.tab.hide(false);
  for (let i = 0; i < 12; i++) {
    await world.advance(10_000);
    gateway.beat();
  }
  gateway.publish("a", gateway.log.length + 1);
  await world.advance(1000);
  const mine = gateway.log.filter((e) => e.channel !== "c").map((e) => e.data as number);
  for (const { got } of all) {
    const from = got.length ? mine.indexOf(got[0]!) : mine.length;
    expect(got, `seed ${seed}`).toEqual(mine.slice(from));
    expect(got.length, `seed ${seed}`).toBeGreaterThan(0);
  }
  expect(gateway.open.filter((s) => !s.tab.dead).length, `seed ${seed}`).toBe(1);
}

test("chaos: whatever tabs do, each gets every event once and in order, over one connection", async () => {
  for (let seed = 1; seed <= 25; seed++) await chaos(seed);
}, 60_000);
