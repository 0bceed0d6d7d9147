// The pages that a person meets first, in Chromium, light and dark and as
// wide as a phone: they work, they fit, and they pass the checks of axe-core.
// SCREENSHOTS=folder keeps what they look like.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { publish, startDemo, startGateway } from "./lib/process.js";
import { launch } from "./lib/readers.js";

const axe = await readFile(new URL(import.meta.resolve("axe-core/axe.min.js")), "utf8");
const LONG = "a".repeat(400);
const sizes = { "as wide as a phone": { width: 360, height: 740 }, "on a desk": { width: 1200, height: 900 } };

const pages = {
  "page of --dev": {
    start: async (t) => (await startGateway(t)).url,
    async use(page) {
      await text(page, "#state", "connected");
      await fill(page, "#data", `{"text":"${LONG}"}`);
      await page.click("button");
      await text(page, "#events li", LONG.slice(0, 50));
      await text(page, "#answer", "appended at ");
      await fill(page, "#data", "{not JSON");
      await page.click("button");
      await text(page, "#answer[data-bad]", "Invalid JSON");
    },
  },
  "console of a pod": {
    async start(t) {
      const gateway = await startGateway(t, { hot: { features: [{ name: LONG.slice(0, 63), mode: "Enabled" }] } });
      const stop = new AbortController();
      t.after(() => stop.abort());
      const stream = await fetch(`${gateway.url}/v2/realtime/stream?channels=finance.revenue,orders.*`, { signal: stop.signal });
      stream.body.pipeTo(new WritableStream()).catch(() => {}); // it ends with the test
      await publish(gateway, "finance.revenue", ...Array(40).fill("x".repeat(100)));
      await publish(gateway, `orders.${LONG.slice(0, 60)}`, 1);
      await publish(gateway, "<b>nobody</b>".replace(/[^a-z]/g, "-"), 1);
      return gateway.console;
    },
    async use(page) {
      await text(page, "#health", "ok");
      await text(page, "#channels tr", "finance.revenue");
      await text(page, "#latency-key", "p99 ");
      await page.waitForFunction(() => /p99 [0-9.]+ ms/.test(document.querySelector("#latency-key").textContent));
      await text(page, "#tiles", "Streams");
      assert.equal(await page.evaluate(() => document.querySelectorAll("#channels tr").length), 3);
      await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-pressed")), "true");
    },
  },
  "page of the finance demo": {
    start: async (t) => `${(await startDemo(t, await startGateway(t), "secret")).url}/#token=secret`,
    async use(page) {
      await text(page, "#state", "Live");
      await fill(page, "[name=amount]", "999999999999");
      await page.click("button");
      await text(page, "#list li", "9,999,999,999.99");
      await text(page, "#polled li", "9,999,999,999.99");
      for (const way of ["stream", "poll"]) {
        await text(page, `#${way}-average`, " ms");
        await text(page, `#${way}-bytes`, "B");
      }
      await text(page, "#answer", "Stored as ");
      await fill(page, "[name=token]", "wrong");
      await page.click("button");
      await text(page, "#answer[data-bad]", ": ");
      assert.equal(await page.evaluate("document.querySelectorAll('#list li, #polled li').length"), 2);
    },
  },
  "page of the demo that is told token by token": {
    start: async (t) => `${(await startDemo(t, await startGateway(t), "secret")).url}/tokens.html#token=secret`,
    async use(page) {
      await page.click("#form button");
      await text(page, "#text", "So far 0 revenues");
      const before = await page.$eval("#text", (p) => p.textContent);
      await page.reload();
      await text(page, "#text", before.slice(0, 200));
      await text(page, "#text", "in one transaction");
      await page.click("#cancel");
      await text(page, "#state", "Told");
      const whole = await page.$eval("#text", (p) => p.textContent);
      assert.match(whole, /^So far 0 revenues are in the ledger\. Each of them was written together with its event, in one transaction/);
      await page.reload(); // an answer that is over is read from the log
      await page.waitForFunction((all) => document.querySelector("#text").textContent === all, {}, whole);
    },
  },
};

const text = (page, selector, part) =>
  page.waitForFunction((s, p) => document.querySelector(s)?.textContent.includes(p), { timeout: 10_000 }, selector, part);

async function fill(page, selector, value) {
  await page.evaluate((s) => (document.querySelector(s).value = ""), selector);
  await page.type(selector, value);
}

/** Faults that axe-core finds, as lines. */
async function faults(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate("axe.run()");
  return violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.html.slice(0, 100)}: ${n.failureSummary.replaceAll("\n", " ")}`));
}

describe("pages", () => {
  let browser;
  before(async () => (browser = await launch("chromium")));
  after(() => browser?.close());
  for (const [name, { start, use }] of Object.entries(pages)) {
    for (const scheme of ["light", "dark"]) {
      for (const [size, viewport] of Object.entries(sizes)) {
        test(`${name}, ${scheme}, ${size}`, async (t) => {
          const page = await browser.newPage();
          t.after(() => page.close());
          const errors = [];
          page.on("pageerror", (error) => errors.push(error.message));
          await page.setViewport(viewport);
          await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
          await page.goto(await start(t));
          await use(page);
          if (process.env.SCREENSHOTS) {
            await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name} ${scheme} ${viewport.width}.png`), fullPage: true });
          }
          assert.deepEqual(await faults(page), []);
          const wide = await page.evaluate("document.documentElement.scrollWidth");
          assert.ok(wide <= viewport.width, `${wide} px wide`);
          assert.deepEqual(errors, []);
        });
      }
    }
  }
});
