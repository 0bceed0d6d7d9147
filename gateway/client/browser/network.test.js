// One tab of a real browser, and what networks do to it: proxies that buffer,
// going offline, a gateway that goes and comes, a reload in the middle.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startProxy } from "../../../hack/clients/lib/proxy.js";
import { startNginx } from "./lib/nginx.js";
import { assertRun, launch, publish, servePage, sleep, startFor, startLoad, streams, Tab } from "./lib/tabs.js";

for (const name of ["chromium", "firefox"]) {
  describe(name, () => {
    let browser;
    before(async () => { browser = await launch(name === "chromium" ? "chrome" : name); });
    after(() => browser.close());

    async function open(t, { hot, options, through } = {}) {
      const origin = await servePage(t);
      const gateway = await startFor(t, origin, hot);
      const tab = await Tab.open(t, browser, origin, through ? await through(gateway) : gateway, options);
      await tab.subscribe();
      await tab.reads();
      return { gateway, tab, origin };
    }

    async function whole(tab, last) {
      await tab.until(`event ${last}`, (m) => m.last === last);
      return assertRun(await tab.get("got"), last, "the tab");
    }

    test("streams come compressed, and latencies are those of a clock that is right", async (t) => {
      const { gateway, tab } = await open(t);
      const load = startLoad(gateway, 10);
      await sleep(1500);
      await whole(tab, await load.stop());
      assert.equal((await streams(gateway)).byEncoding.gzip, 1);
      const { avgLatencyMs, p95LatencyMs, eventsReceived, eventRate, duplicatesDetected } = await tab.metrics();
      assert.ok(avgLatencyMs > 0 && avgLatencyMs < 500, `avg ${avgLatencyMs} ms`);
      assert.equal(duplicatesDetected, 0);
      t.diagnostic(`${eventsReceived} events at ${eventRate}/s: avg ${avgLatencyMs} ms, p95 ${p95LatencyMs} ms`);
    });

    test("channels come and go on the running stream, and the page publishes", async (t) => {
      const { gateway, tab } = await open(t);
      await tab.page.evaluate(async () => {
        const subscription = page.client.subscribe("late", (event) => page.got.push(event.data.n));
        await subscription.ready();
        page.ack = await page.client.publish("late", { n: 1 });
      });
      await whole(tab, 1);
      assert.match((await tab.get("ack")).cursor, /^[a-z0-9]+\.[1-9]\d*$/);
      const { total, active } = await streams(gateway);
      assert.deepEqual([total, active], [1, 1]);
    });

    test("a proxy that buffers is found out, and polls lose nothing", { skip: name !== "chromium" && "a matter of time limits, not of browsers" }, async (t) => {
      const { gateway, tab } = await open(t, { through: (gateway) => startNginx(t, gateway) });
      await tab.until("polling", (m) => m.connectionState === "polling");
      const load = startLoad(gateway, 50);
      await sleep(2000);
      await whole(tab, await load.stop());
      const m = await tab.metrics();
      assert.deepEqual([m.buffering, m.transport, m.duplicatesDetected], [true, "poll", 0]);
      t.diagnostic(`p95 by poll behind nginx ${m.p95LatencyMs} ms`);
    });

    test("a reload in the middle goes on where it was", async (t) => {
      const { gateway, tab } = await open(t);
      const load = startLoad(gateway);
      await tab.until("some events", (m) => m.got > 10);
      await tab.page.evaluate(() => { globalThis.onpagehide = () => localStorage.setItem("got", JSON.stringify(page.got)); });
      for (let round = 0; round < 3; round++) {
        await tab.load();
        await sleep(200);
        await tab.page.evaluate(() => {
          page.got = JSON.parse(localStorage.getItem("got"));
          page.subscribe("load");
          globalThis.onpagehide = () => localStorage.setItem("got", JSON.stringify(page.got));
        });
        await sleep(500);
      }
      await whole(tab, await load.stop());
      assert.deepEqual(await tab.get("resets"), []);
    });

    test("a gateway that crashes and comes back with another log is told of, once", async (t) => {
      const { gateway, tab, origin } = await open(t);
      await publish(gateway, "load", { n: 1 });
      await whole(tab, 1);
      await gateway.kill();
      await sleep(500);
      const again = await startFor(t, origin, {}, { listen: gateway.listen });
      await tab.until("the stream again", (m) => m.resets === 1 && m.connectionState === "connected");
      await publish(again, "load", { n: 2 });
      await whole(tab, 2);
      assert.deepEqual(await tab.get("resets"), ["epoch"]);
      const { totalDisconnects, reconnectAttempts } = await tab.metrics();
      assert.equal(totalDisconnects, 1);
      assert.ok(reconnectAttempts >= 1);
    });

    test("offline waits, online is back within a second, without loss", async (t) => {
      let proxy;
      const { gateway, tab } = await open(t, { through: async (gateway) => (proxy = await startProxy(t, gateway, "gzip")) });
      const load = startLoad(gateway);
      await tab.until("some events", (m) => m.got > 5);
      await tab.page.setOfflineMode(true);
      proxy.cut(); // the browser itself would let a stream go on
      await tab.until("offline", (m) => m.connectionState === "offline", 10_000);
      await sleep(1000);
      const from = Date.now();
      await tab.page.setOfflineMode(false);
      await tab.until("connected", (m) => m.connectionState === "connected");
      t.diagnostic(`connected ${Date.now() - from} ms after the network came back`);
      await whole(tab, await load.stop());
      assert.deepEqual(await tab.get("resets"), []);
    });

    test("a page that is left and come back to goes on where it was, whether the browser kept it or loads it again", async (t) => {
      const { gateway, tab, origin } = await open(t);
      const load = startLoad(gateway);
      await tab.until("some events", (m) => m.got > 10);
      await tab.page.evaluate(() => addEventListener("pagehide", () => localStorage.setItem("got", JSON.stringify(page.got))));
      await tab.page.goto(`${origin}/elsewhere`);
      await sleep(1000);
      await tab.page.goBack();
      const kept = await tab.page.evaluate(() => "page" in globalThis);
      if (!kept) {
        await tab.start();
        await tab.page.evaluate(() => { page.got = JSON.parse(localStorage.getItem("got")); });
        await tab.subscribe();
      }
      await sleep(500);
      await whole(tab, await load.stop());
      assert.deepEqual(await tab.get("resets"), []);
      t.diagnostic(kept ? "the page was kept" : "the page was loaded again");
    });

    test("a tab that is frozen and thawed has lost nothing", { skip: name !== "chromium" && "nothing freezes a page of Firefox from outside" }, async (t) => {
      const { gateway, tab } = await open(t, { options: { share: false } });
      const load = startLoad(gateway);
      await tab.until("some events", (m) => m.got > 10);
      await tab.lifecycle("frozen");
      await sleep(3000); // longer than the gateway's heartbeat, and than the client waits for one
      await tab.lifecycle("active");
      await whole(tab, await load.stop());
      assert.deepEqual(await tab.get("resets"), []);
    });

    test("storage that is blocked takes away nothing else", async (t) => {
      const origin = await servePage(t);
      const gateway = await startFor(t, origin);
      const tab = await Tab.open(t, browser, origin, gateway);
      await tab.page.evaluate(() => Object.defineProperty(globalThis, "sessionStorage", { get: () => { throw new DOMException("blocked", "SecurityError"); } }));
      await tab.subscribe();
      await tab.reads();
      await publish(gateway, "load", { n: 1 });
      await whole(tab, 1);
      assert.deepEqual(await tab.get("errors"), []);
    });

    test("answers of somebody else, and an origin that is not let in, end in the state that is written down", async (t) => {
      const origin = await servePage(t);
      const gateway = await startFor(t, "https://elsewhere.example");
      const tab = await Tab.open(t, browser, origin, gateway);
      await tab.subscribe();
      await tab.until("an answer", (m) => ["stopped", "reconnecting"].includes(m.connectionState));
      const portal = await Tab.open(t, browser, origin, { url: origin }); // answers every path with its page
      await portal.subscribe();
      await portal.until("waiting", (m) => m.connectionState === "reconnecting");
    });
  });
}
