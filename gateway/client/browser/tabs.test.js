// Ten tabs of a real browser: one connection, and what happens to it when the
// tab that holds it goes, under a load of events. KILLS=50 does that many.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertRun, launch, leaderOf, publish, servePage, sleep, startFor, startLoad, streams, Tab, tcpConnections } from "./lib/tabs.js";

const KILLS = Number(process.env.KILLS ?? 8);

/** Waits until the gateway has one TCP connection: each new tab hides the one before, which hands the lead over. */
async function settled(gateway) {
  for (const end = Date.now() + 10_000; (await tcpConnections(gateway)) !== 1; await sleep(50)) {
    if (Date.now() > end) assert.fail(`${await tcpConnections(gateway)} TCP connections`);
  }
}

for (const name of ["chromium", "firefox"]) {
  describe(name, () => {
    let browser;
    before(async () => { browser = await launch(name === "chromium" ? "chrome" : name); });
    after(() => browser.close());

    async function open(t, count, hot) {
      const origin = await servePage(t);
      const gateway = await startFor(t, origin, hot);
      const tabs = [];
      const more = async () => {
        const tab = await Tab.open(t, browser, origin, gateway);
        await tab.subscribe();
        await tab.reads();
        tabs.push(tab);
        return tab;
      };
      for (let i = 0; i < count; i++) await more();
      return { gateway, tabs, more, origin };
    }

    test("ten tabs are one TCP connection, and get the same events in the same order", async (t) => {
      const { gateway, tabs } = await open(t, 10);
      await settled(gateway);
      const load = startLoad(gateway, 10);
      await sleep(2000);
      const last = await load.stop();
      const counts = [];
      for (const tab of tabs) {
        await tab.until("the last event", (m) => m.last === last);
        counts.push(assertRun(await tab.get("got"), last, "a tab"));
      }
      assert.deepEqual(new Set(counts), new Set([last]));
      await settled(gateway);
      const { active } = await streams(gateway);
      assert.equal(active, 1);
      const all = await Promise.all(tabs.map((tab) => tab.metrics()));
      assert.deepEqual(all.map((m) => m.role).sort(), [...Array(9).fill("follower"), "leader"]);
      assert.ok(all.every((m) => m.duplicatesDetected === 0 && m.tabs === 10));
      t.diagnostic(`${tabs.length} tabs, ${active} stream, ${last} events in each; p95 in the leader ${all.find((m) => m.role === "leader").p95LatencyMs} ms, in the slowest tab ${Math.max(...all.map((m) => m.p95LatencyMs))} ms`);
    });

    test(`the lead passes on ${KILLS} times without loss or double`, async (t) => {
      const { gateway, tabs, more } = await open(t, 4);
      const load = startLoad(gateway);
      const ways = name === "chromium" ? ["close", "crash", "close", "freeze", "hide"] : ["close"];
      const done = {};
      for (let kill = 0; kill < KILLS; kill++) {
        const way = ways[kill % ways.length];
        const leader = await leaderOf(tabs);
        const others = tabs.filter((tab) => tab !== leader);
        if (way === "close") await leader.page.close();
        else if (way === "crash") await leader.crash();
        else if (way === "freeze") await leader.lifecycle("frozen");
        else { // a leader that is seen, and then is not
          await leader.page.bringToFront();
          await sleep(100);
          await others[0].page.bringToFront();
        }
        const next = await leaderOf(others);
        await next.until("the new leader's stream", (m) => m.connectionState === "connected");
        if (way === "freeze") await leader.lifecycle("active");
        if (way === "close" || way === "crash") {
          tabs.splice(tabs.indexOf(leader), 1);
          await more();
        }
        done[way] = (done[way] ?? 0) + 1;
      }
      await sleep(500);
      const last = await load.stop();
      for (const tab of tabs) {
        await tab.until("the last event", (m) => m.last === last);
        assertRun(await tab.get("got"), last, "a tab");
        assert.deepEqual(await tab.get("resets"), []);
      }
      assert.equal((await streams(gateway)).active, 1);
      t.diagnostic(`${KILLS} leaders gone (${JSON.stringify(done)}), ${last} events, loss 0, double 0`);
    });
  });
}
