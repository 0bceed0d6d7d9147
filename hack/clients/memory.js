// Whether a page that stays open grows: Chromium on the page of --dev, which reads
// by the client that the gateway serves, under a steady load. Prints what is left
// of the heap after a collection, twice a minute, and what the client counted.
//
//   node memory.js [minutes=20] [eventsPerSecond=50]      after `make clients`, for the programs
import { publish, startGateway } from "./lib/process.js";
import { launch } from "./lib/readers.js";

const minutes = Number(process.argv[2] ?? 20), perSecond = Number(process.argv[3] ?? 50);
const ends = [];
const gateway = await startGateway({ passed: true, after: (end) => ends.push(end) });
const browser = await launch("chromium");
const page = await browser.newPage();
await page.goto(gateway.url);
await page.waitForFunction(() => document.getElementById("state").textContent === "connected");
const devtools = await page.createCDPSession();
await devtools.send("Performance.enable");

let published = 0;
const began = Date.now();
const load = setInterval(async () => {
  for (const due = Math.floor(((Date.now() - began) / 1000) * perSecond); published < due; ) {
    published++;
    await publish(gateway, `load.${published % 10}`, { n: published, text: "x".repeat(100) }).catch(() => process.exit(1));
  }
}, 1000 / perSecond);

/** Bytes and nodes that are reachable. */
async function sample() {
  await devtools.send("HeapProfiler.collectGarbage");
  const { metrics } = await devtools.send("Performance.getMetrics");
  const value = (name) => metrics.find((m) => m.name === name).value;
  return { bytes: value("JSHeapUsedSize"), nodes: value("Nodes"), listeners: value("JSEventListeners") };
}

const samples = [];
for (let half = 1; half <= minutes * 2; half++) {
  await new Promise((done) => setTimeout(done, began + half * 30_000 - Date.now()));
  const seen = await page.evaluate(() => window.__realtimeMetrics());
  const one = { minute: half / 2, ...(await sample()), received: seen.eventsReceived };
  samples.push(one);
  console.log(`${one.minute} min: ${(one.bytes / 1024).toFixed(0)} KiB, ${one.nodes} nodes, ${one.listeners} listeners, ${one.received} of ${published} events, ` +
    `${seen.connectionState}, p95 ${seen.p95LatencyMs} ms, ${seen.totalDisconnects} disconnects, ${seen.duplicatesDetected} doubles`);
}
clearInterval(load);

// The line that fits best, without the first third: until then the ids gather that tell doubles for 5 minutes.
const used = samples.slice(Math.floor(samples.length / 3));
const mean = (of) => used.reduce((sum, s) => sum + of(s), 0) / used.length;
const x = mean((s) => s.minute), y = mean((s) => s.bytes);
const slope = mean((s) => (s.minute - x) * (s.bytes - y)) / (mean((s) => (s.minute - x) ** 2) || 1);
console.log(`heap ${(y / 1024).toFixed(0)} KiB, ${slope >= 0 ? "+" : ""}${(slope / 1024).toFixed(2)} KiB a minute, ${published} events published`);
await browser.close();
for (const end of ends) await end();
process.exit(0);
