// Streaming beside long-polling: the page of the finance demo in Chromium, 100
// revenues posted in it, each timed from the click to the pixel by both ways.
// Prints what the page shows. SCREENSHOTS=folder keeps a picture.
//
//   node compare.js [runs=3]      after `make clients`, for the programs
import { join } from "node:path";
import { startDemo, startGateway } from "./lib/process.js";
import { launch } from "./lib/readers.js";

const ends = [];
const test = { passed: true, after: (end) => ends.push(end) };
const demo = await startDemo(test, await startGateway(test), "secret");
const browser = await launch("chromium");
for (let run = 1; run <= Number(process.argv[2] ?? 3); run++) {
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 1000 });
  await page.goto(`${demo.url}/#token=secret`);
  await page.waitForFunction(() => document.getElementById("state")?.textContent === "Live");
  await page.waitForFunction(() => document.getElementById("poll-title").textContent.endsWith("polling"));
  await page.click("#run");
  await page.waitForFunction(() => document.getElementById("answer").textContent === "100 of 100 stored", { timeout: 120_000 });
  await new Promise((done) => setTimeout(done, 2500)); // counts are shown once a second
  for (const way of ["stream", "poll"]) {
    const shown = await page.evaluate((of) => ["average", "p95", "requests", "bytes"].map((n) => document.getElementById(`${of}-${n}`).textContent), way);
    console.log(`run ${run}, ${way}: mean ${shown[0]}, p95 ${shown[1]}, ${shown[2]} requests, ${shown[3]}`);
  }
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `compare ${run}.png`), fullPage: true });
  await page.close();
}
await browser.close();
for (const end of ends) await end();
process.exit(0);
