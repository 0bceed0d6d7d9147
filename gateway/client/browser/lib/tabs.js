// Tabs of a real browser that run this client against a real gateway, from a
// page of another origin.
import { once } from "node:events";
import { readFile, readdir, readlink } from "node:fs/promises";
import http from "node:http";
import { core } from "../../options.js";
import { publish, startGateway } from "../../../../hack/clients/lib/process.js";
import { launch } from "../../../../hack/clients/lib/readers.js";

export { launch, publish };

const WAIT_MS = 30_000;
export const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** What a page keeps of its events; it runs in the page. */
function reader(url, options) {
  const page = { got: [], states: [], resets: [], gaps: [], errors: [] };
  page.client = sg.createClient({
    url, onReset: (r) => page.resets.push(r.reason), onGap: (g) => page.gaps.push(g.reason), onError: (e) => page.errors.push(`${e}`), ...options,
  });
  page.client.onState((state) => page.states.push(state));
  page.subscribe = (channels) => page.client.subscribe(channels, (event) => page.got.push(event.data.n));
  globalThis.page = page;
}

/** Serves the page on an origin of its own, with whatever headers a test wants. */
export async function servePage(t) {
  const modules = await core(); // as it is published: an entry, and a chunk that it loads
  const server = http.createServer((request, response) => {
    const name = /^\/(\w+)\.js$/.exec(request.url)?.[1];
    if (modules[name]) return response.writeHead(200, { "Content-Type": "text/javascript" }).end(modules[name]);
    response.writeHead(200, { "Content-Type": "text/html" }).end(
      `<!doctype html><meta charset=utf-8><title>Tab</title><link rel=icon href=data:,>
      <script type=module>import * as sg from "/index.js"; globalThis.sg = sg</script><script>${reader}</script>`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => (server.close(), server.closeAllConnections()));
  return `http://127.0.0.1:${server.address().port}`;
}

/** A gateway that lets pages of this origin in, with quick heartbeats. */
export function startFor(t, origin, hot = {}, more = {}) {
  const connections = { heartbeat: "500ms", retry: "300ms", retryJitterPercent: 0 };
  return startGateway(t, { hot: { listener: { allowedOrigins: [origin] }, ...hot, connections: { ...connections, ...hot.connections } }, ...more });
}

/** One tab. */
export class Tab {
  static async open(t, browser, origin, gateway, options = {}) {
    const page = await browser.newPage();
    const tab = new Tab(page, gateway, options);
    t.after(() => page.close().catch(() => {}));
    await tab.load(`${origin}/`);
    return tab;
  }

  constructor(page, gateway, options) {
    Object.assign(this, { page, gateway, options });
  }

  async load(url) {
    if (url) await this.page.goto(url);
    else await this.page.reload();
    await this.start();
  }

  /** Makes the client on a page that was loaded just now. */
  async start() {
    await this.page.evaluate(`reader(${JSON.stringify(`${this.gateway.url}/v2/realtime`)}, ${JSON.stringify(this.options)})`);
  }

  subscribe(channels = "load") {
    return this.page.evaluate((c) => void page.subscribe(c), channels);
  }

  get(name) {
    return this.page.evaluate((n) => page[n], name);
  }

  metrics() {
    return this.page.evaluate(() => __realtimeMetrics());
  }

  async until(what, found, milliseconds = WAIT_MS) {
    let seen;
    for (const end = Date.now() + milliseconds; Date.now() < end; await sleep(20)) {
      seen = await this.page.evaluate(() => ({ ...__realtimeMetrics(), got: page.got.length, last: page.got.at(-1), states: page.states }));
      if (found(seen)) return seen;
    }
    throw new Error(`waiting for ${what}: ${JSON.stringify(seen)}`);
  }

  /** Waits until the tab reads, by whichever way. */
  reads() {
    return this.until("the tab to read", (m) => ["connected", "polling", "follower"].includes(m.connectionState));
  }

  async crash() {
    const session = await this.page.createCDPSession();
    void session.send("Page.crash").catch(() => {});
    await sleep(100);
  }

  async lifecycle(state) {
    this.session ??= await this.page.createCDPSession(); // a page is frozen for as long as this is open
    await this.session.send("Page.setWebLifecycleState", { state });
  }
}

/** The tab that leads; waits until there is one. */
export async function leaderOf(tabs) {
  for (const end = Date.now() + WAIT_MS; Date.now() < end; await sleep(20)) {
    for (const tab of tabs) if ((await tab.metrics()).role === "leader") return tab;
  }
  throw new Error("no tab leads");
}

/** Publishes numbers to `load`, one after another, until it is stopped; resolves then with how many. */
export function startLoad(gateway, everyMs = 20) {
  let n = 0;
  let on = true;
  const done = (async () => {
    while (on) {
      await publish(gateway, "load", { n: ++n });
      await sleep(everyMs);
    }
  })();
  return { stop: async () => { on = false; await done; return n; }, count: () => n };
}

/** TCP connections that the kernel counts as established on the gateway's side, without those of the gateway to itself. */
export async function tcpConnections(gateway) {
  const port = Number(gateway.url.split(":").pop());
  const links = await Promise.all((await readdir(`/proc/${gateway.child.pid}/fd`)).map((fd) => readlink(`/proc/${gateway.child.pid}/fd/${fd}`).catch(() => "")));
  const own = new Set(links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1]));
  const rows = [];
  for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of (await readFile(file, "utf8")).trim().split("\n").slice(1)) {
      const [, local, remote, state, , , , , , inode] = line.trim().split(/\s+/);
      rows.push({ local: parseInt(local.split(":")[1], 16), remote: parseInt(remote.split(":")[1], 16), open: state === "01", inode });
    }
  }
  const itself = new Set(rows.filter((r) => r.remote === port && own.has(r.inode)).map((r) => r.local));
  return rows.filter((r) => r.open && r.local === port && !itself.has(r.remote)).length;
}

/** Streams that the gateway counts. */
export async function streams(gateway) {
  return (await (await fetch(`${gateway.url}/v2/realtime/metrics`, { headers: { Connection: "close" } })).json()).connections;
}

/** Fails unless the numbers are a run without holes or doubles; returns its length. */
export function assertRun(got, last, who) {
  for (let i = 1; i < got.length; i++) {
    if (got[i] !== got[i - 1] + 1) throw new Error(`${who}: after ${got[i - 1]} came ${got[i]} (of ${got.length}, ${got[0]}..${got.at(-1)})`);
  }
  if (last !== undefined && got.at(-1) !== last) throw new Error(`${who}: ends at ${got.at(-1)}, not ${last}`);
  return got.length;
}
