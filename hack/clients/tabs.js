// Not a test: a browser for the end-to-end suite. It opens tabs at a gateway, each
// with the client that the gateway serves, and tells on standard output, a JSON
// value a line: {"tabs": n} when all of them read; then, for every line it gets
// with an event's number, what each tab was told until it had that event.
//
//   node tabs.js URL CHANNEL [tabs=10] [browser=chromium]
import { createInterface } from "node:readline";
import { launch } from "./lib/readers.js";

const WAIT_MS = 30_000;
const [url, channel, count = "10", name = "chromium"] = process.argv.slice(2);

/** Keeps everything a tab is told, in order: numbers of events, reasons of resets and gaps. It runs in the page. */
async function read(url, channel) {
  const { createClient } = await import(`${url}/client.js`);
  globalThis.told = [];
  const client = createClient({ url, onReset: ({ reason }) => told.push({ reset: reason }), onGap: ({ reason }) => told.push({ gap: reason }) });
  await client.subscribe(channel, (event) => told.push(event.data.n)).ready();
}

const until = (page, so, ...args) => page.waitForFunction(so, { timeout: WAIT_MS, polling: 50 }, ...args);

const browser = await launch(name);
const pages = [];
for (let i = 0; i < Number(count); i++) {
  const page = await browser.newPage();
  await page.goto(`${url}/time`); // any page of this origin
  await page.evaluate(read, url, channel);
  pages.push(page);
}
console.log(JSON.stringify({ tabs: pages.length }));

for await (const line of createInterface({ input: process.stdin })) {
  const tabs = await Promise.all(pages.map(async (page) => {
    await until(page, (last) => told.findLast((entry) => typeof entry === "number") >= last, Number(line)).catch(() => {}); // what it lacks is in what it was told
    return page.evaluate(() => ({ told, metrics: __realtimeMetrics() }));
  }));
  console.log(JSON.stringify(tabs));
}
await browser.close();
