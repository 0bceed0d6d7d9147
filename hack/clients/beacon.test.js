// What browsers report reaches the gateway's numbers: the client that the gateway
// serves, in both browsers, by sendBeacon; at the pace that the configuration
// says, and also when the page is left.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { publish, startGateway } from "./lib/process.js";
import { launch } from "./lib/readers.js";

/** The numbers of a pod, when they are as looked for. */
async function numbers(gateway, found) {
  for (const end = Date.now() + 15_000; ; ) {
    const { metrics } = await (await fetch(`${gateway.console}/data.json`)).json();
    if (found(metrics.latencyMs.browser)) return metrics;
    if (Date.now() > end) throw new Error(`the numbers are ${JSON.stringify(metrics.latencyMs)}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** A page that reads one channel and reports. */
async function reading(t, browser, gateway) {
  const page = await browser.newPage();
  t.after(() => page.close());
  await page.goto(`${gateway.url}/v2/realtime/time`); // any page of this origin
  await page.evaluate(async () => {
    const { createClient } = await import("/v2/realtime/client.js");
    window.client = createClient({ beacon: 1, share: false });
    window.got = 0;
    await window.client.subscribe("a", () => window.got++).ready();
  });
  await page.waitForFunction(() => window.client.state === "connected");
  return page;
}

for (const name of ["chromium", "firefox"]) {
  describe(`reports of ${name}`, () => {
    let browser;
    before(async () => (browser = await launch(name)));
    after(() => browser?.close());

    test("they come at the pace of the configuration and count once for each stream", async (t) => {
      const gateway = await startGateway(t, { hot: { observability: { beaconInterval: "1s" } } });
      const page = await reading(t, browser, gateway);
      await publish(gateway, "a", 1, 2, 3);
      await page.waitForFunction(() => window.got === 3);
      const { latencyMs, health } = await numbers(gateway, (b) => b.reports > 0 && b.p95 > 0);
      assert.ok(latencyMs.browser.p95 < 5000 && latencyMs.browser.avg < 5000, JSON.stringify(latencyMs));
      assert.deepEqual(health.reasons, []);
    });

    test("a page that is left reports first", async (t) => {
      const gateway = await startGateway(t); // once a minute
      const page = await reading(t, browser, gateway);
      await publish(gateway, "a", 1);
      await page.waitForFunction(() => window.got === 1);
      await page.goto("about:blank");
      await numbers(gateway, (b) => b.reports > 0);
    });
  });
}
