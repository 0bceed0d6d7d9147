// Pages of other origins in real browsers, over TLS: tickets of a native
// EventSource, the cookie __Host-sg, and what pages get that have no business
// here. Whether a cookie goes along, and who asks, is the browser's word.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { startIssuer } from "./lib/issuer.js";
import { startGateway } from "./lib/process.js";
import { launch } from "./lib/readers.js";
import { askAsProgram, makeCertificate, servePages, startWire } from "./lib/secure.js";

const CHANNEL = "orders.7";
const WAIT_MS = 20_000;
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** What every page can do; it runs in the page. */
function helpers() {
  globalThis.ask = async (url, init) => {
    try {
      const response = await fetch(url, { cache: "no-store", ...init });
      const told = await response.json().catch(() => null);
      return { status: response.status, kind: told?.type?.split(":").pop(), told };
    } catch (error) {
      return { failed: error.name }; // all that a page is told of what it may not see
    }
  };
  globalThis.read = (url, init) => {
    const kept = { data: [], ends: [], state: () => kept.source.readyState, source: new EventSource(url, init) };
    kept.source.onmessage = (event) => kept.data.push(JSON.parse(event.data));
    kept.source.addEventListener("sg.end", (event) => kept.ends.push(JSON.parse(event.data).reason));
    return (globalThis.kept = kept);
  };
  globalThis.ticket = (base, token, body, credentials = "omit") => ask(`${base}/tickets`, {
    method: "POST", credentials, headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
}

/** One gateway that readers need a token for, a wire to it, and pages; `allowed` are names, or "*". */
async function startWorld(t, browser, allowed = ["www.shop", "other.shop"]) {
  const certificate = await makeCertificate(t);
  const issuer = await startIssuer(t);
  const origin = await servePages(t, certificate, `(${helpers})()`);
  const gateway = await startGateway(t, {
    tls: certificate,
    hot: {
      auth: issuer.auth, connections: { heartbeat: "500ms", retry: "300ms", retryJitterPercent: 0 },
      listener: { allowedOrigins: allowed.map((name) => (name === "*" ? name : origin(name))) },
    },
  });
  const wire = await startWire(t, gateway, "stream.shop");
  const context = await browser.createBrowserContext(); // with cookies of its own
  t.after(() => context.close());
  return {
    ...wire, origin, gateway, token: (channels = [CHANNEL], seconds = 300) => issuer.token(seconds, channels), context,
    open: async (name) => {
      const page = await context.newPage();
      await page.goto(name.startsWith("https:") ? name : `${origin(name)}/`);
      return page;
    },
    async publish(...values) {
      for (const value of values) {
        const headers = { "Content-Type": "application/json" };
        const { status } = await askAsProgram(gateway, `channels/${CHANNEL}/events`, { method: "POST", headers, body: JSON.stringify(value), certificate });
        assert.equal(status, 200);
      }
    },
    /** Everything that was ever published. */
    async published(token) {
      const { json } = await askAsProgram(gateway, `channels/${CHANNEL}/events?limit=100`, { headers: { Authorization: `Bearer ${token}` }, certificate });
      return json.events.map((event) => event.data);
    },
    /** Requests that the gateway refused for their origin. */
    async denied() {
      return Number(/^sg_origin_denied_total (\d+)$/m.exec(await (await fetch(`${gateway.admin}/metrics`)).text())[1]);
    },
  };
}

/** Waits until something is so in a page, which need not be in sight and so may draw no frames. */
const until = (page, so, ...args) => page.waitForFunction(so, { timeout: WAIT_MS, polling: 50 }, ...args);

/** Waits until the page's stream has so many events; returns them. */
async function events(page, count) {
  await until(page, (n) => kept.data.length >= n, count);
  return page.evaluate(() => kept.data);
}

const opened = (page) => until(page, () => kept.state() === EventSource.OPEN);
/** Waits until the page's EventSource has given up, as it does for any answer but 200. */
const gaveUp = (page) => until(page, () => kept.state() === EventSource.CLOSED);

const streamOf = (base, ticket) => `${base}/stream?channels=${CHANNEL}${ticket ? `&ticket=${ticket}` : ""}`;

for (const name of ["chromium", "firefox"]) {
  describe(`pages of other origins in ${name}`, () => {
    let browser;
    before(async () => (browser = await launch(name, { acceptInsecureCerts: true })));
    after(() => browser?.close());
    const start = (t, allowed) => startWorld(t, browser, allowed);

    test("an EventSource reads by a ticket, goes on where it was when the network is cut, and nobody else's page can use it", async (t) => {
      const world = await start(t);
      const page = await world.open("www.shop");
      const stream = await page.evaluate(async (url, token) => {
        const { ticketUrl } = await import(`${url}/client.js`);
        return (await ticketUrl("orders.7", { url, getToken: () => token })).url;
      }, world.url, world.token(["orders.*"]));
      assert.match(stream, /^https:[^?]+\/stream\?channels=orders\.7&ticket=sgt1_[\w-]+$/);
      await page.evaluate((url) => void read(url), stream);
      await opened(page);
      await world.publish(1, 2, 3);
      assert.deepEqual(await events(page, 3), [1, 2, 3]);
      world.cut();
      await world.publish(4, 5);
      assert.deepEqual(await events(page, 5), [1, 2, 3, 4, 5]);

      const other = await world.open("other.shop"); // may ask, but not with this ticket
      const refused = await other.evaluate((url) => ask(url), stream);
      assert.deepEqual([refused.status, refused.kind], [403, "csrf"]);
      await other.evaluate((url) => void read(url), stream);
      await gaveUp(other);

      const before = await world.denied();
      const foreign = await world.open("www.foreign"); // may not ask
      assert.deepEqual(await foreign.evaluate((url) => ask(url), stream), { failed: "TypeError" });
      await foreign.evaluate((url) => void read(url), stream);
      await gaveUp(foreign);
      assert.ok(await world.denied() >= before + 2);
    });

    test("the client's own source renews its ticket before it ends and after, without loss, and stops when there is none", async (t) => {
      const world = await start(t);
      const page = await world.open("www.shop");
      await page.evaluate(async (url, token) => {
        const { ticketSource } = await import(`${url}/client.js`);
        globalThis.token = token;
        // The first is renewed after 9 to 12 s. The second ends before anything is: its browser gives up on the 401.
        globalThis.all = [16, 3].map((ttlSeconds) => {
          const one = { data: [], ends: [], tickets: 0, error: null };
          const getToken = () => (one.tickets++, globalThis.token);
          one.source = ticketSource("orders.7", { url, ttlSeconds, getToken, onError: ({ status, type }) => (one.error = [status, type]) });
          one.source.on("message", ({ data }) => one.data.push(JSON.parse(data)));
          one.source.on("sg.end", ({ data }) => one.ends.push(JSON.parse(data).reason));
          return one;
        });
      }, world.url, world.token());
      await until(page, () => all.every(({ source }) => source.cursor));
      let sent = 0;
      for (const end = Date.now() + 2 * WAIT_MS; !(await page.evaluate(() => all.every(({ tickets }) => tickets > 1))); await sleep(100)) {
        assert.ok(Date.now() < end, JSON.stringify(await page.evaluate(() => all.map(({ tickets, ends }) => ({ tickets, ends })))));
        await world.publish(++sent);
        if (sent % 20 === 0) world.cut();
      }
      await until(page, (n) => all.every(({ data }) => data.length >= n), sent);
      const read = Array.from({ length: sent }, (_, i) => i + 1);
      const [early, late] = await page.evaluate(() => all.map(({ data, ends }) => ({ data, ends })));
      assert.deepEqual([early.data, late.data], [read, read]);
      assert.deepEqual([early.ends, new Set(late.ends)], [[], new Set(["auth-expired"])]);
      await page.evaluate(() => (globalThis.token = "another"));
      await until(page, () => all[1].error);
      assert.deepEqual(await page.evaluate(() => all[1].error), [401, "unauthenticated"]);
    });

    test("a cookie is the host's own, scripts cannot see it, and it goes along with its own page only", async (t) => {
      const world = await start(t, ["www.shop", "other.shop", "www.foreign"]);
      const page = await world.open("www.shop");
      const get = `${world.url}/channels/${CHANNEL}/last`;
      assert.equal((await page.evaluate((url) => ask(url, { credentials: "include" }), get)).status, 401);
      const made = await page.evaluate((url, token) => ticket(url, token, { as: "cookie" }, "include"), world.url, world.token());
      assert.deepEqual([made.status, made.told.ticket], [201, undefined]);
      const cookies = await world.context.cookies();
      assert.deepEqual(cookies.map(({ name, domain, path, secure, httpOnly, sameSite }) => ({ name, domain, path, secure, httpOnly, sameSite })),
        [{ name: "__Host-sg", domain: "stream.shop.localhost", path: "/", secure: true, httpOnly: true, sameSite: "Strict" }]);
      assert.equal(await (await world.open(`${world.url}/time`)).evaluate("document.cookie"), "");

      await page.evaluate((url) => void read(url, { withCredentials: true }), streamOf(world.url));
      await opened(page);
      await world.publish(1);
      world.cut();
      await world.publish(2);
      assert.deepEqual(await events(page, 2), [1, 2]);
      assert.equal((await page.evaluate((url) => ask(url, { credentials: "omit" }), get)).status, 401);

      const other = await world.open("other.shop"); // of the same site: the browser sends the cookie along
      const refused = await other.evaluate((url) => ask(url, { credentials: "include" }), get);
      assert.deepEqual([refused.status, refused.kind], [403, "csrf"]);
      await other.evaluate((url) => void read(url, { withCredentials: true }), streamOf(world.url));
      await gaveUp(other);

      const foreign = await world.open("www.foreign"); // of another site: it does not, and keeps none
      assert.equal((await foreign.evaluate((url) => ask(url, { credentials: "include" }), get)).status, 401);
    });

    test("a new cookie takes the place of one that ends under an EventSource, without loss", async (t) => {
      const world = await start(t);
      const page = await world.open("www.shop");
      const renew = (ttlSeconds) => page.evaluate((url, token, ttlSeconds) => ticket(url, token, { as: "cookie", ttlSeconds }, "include"), world.url, world.token(), ttlSeconds);
      assert.equal((await renew(8)).status, 201);
      await page.evaluate((url) => void read(url, { withCredentials: true }), streamOf(world.url));
      await opened(page);
      await world.publish(1);
      assert.equal((await renew(300)).status, 201);
      await until(page, () => kept.ends.length > 0);
      await world.publish(2, 3);
      assert.deepEqual(await events(page, 3), [1, 2, 3]);
      assert.deepEqual(await page.evaluate(() => kept.ends), ["auth-expired"]);
    });

    test("the gateway's own client, loaded from another origin, reads and changes its stream by the cookie, and has it renewed", async (t) => {
      const world = await start(t);
      const page = await world.open("www.shop");
      await page.evaluate(async (url, token) => {
        const { createClient } = await import(`${url}/client.js`);
        globalThis.kept = { data: [], denied: [], asked: 0, stopped: [] };
        const getToken = async () => {
          await ticket(url, token, { as: "cookie", ttlSeconds: kept.asked++ ? 300 : 4 }, "include");
          return "";
        };
        const more = { onDenied: (names) => kept.denied.push(...names), onFallback: (reason) => kept.stopped.push(reason) };
        globalThis.client = createClient({ url, credentials: "include", getToken, share: false, ...more });
        await client.subscribe("late", () => {}).ready();
        await client.subscribe(["orders.7", "secret"], (event) => kept.data.push(event.data)).ready();
      }, world.url, world.token([CHANNEL, "late"]));
      await world.publish(1);
      world.cut();
      await world.publish(2);
      assert.deepEqual(await events(page, 2), [1, 2]);
      await until(page, () => kept.asked > 1);
      await sleep(4000); // the first cookie has ended
      await world.publish(3);
      assert.deepEqual(await events(page, 3), [1, 2, 3]);
      assert.deepEqual(await page.evaluate(() => [client.state, kept.stopped, ...new Set(kept.denied)]), ["connected", [], "secret"]);
    });

    test("no other page publishes or changes anything with the reader's browser: no form, no request without CORS", async (t) => {
      const world = await start(t, ["www.shop"]);
      const post = `${world.url}/channels/${CHANNEL}/events`; // open to every program
      const page = await world.open("www.shop");
      await page.evaluate((url, token) => ticket(url, token, { as: "cookie" }, "include"), world.url, world.token());
      const sent = await page.evaluate((url) => ask(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: "1" }), post);
      assert.equal(sent.status, 200);
      for (const from of ["other.shop", "www.foreign"]) {
        const before = await world.denied();
        const foreign = await world.open(from);
        await foreign.evaluate((url) => ask(url, { method: "POST", mode: "no-cors", credentials: "include", body: "2" }), post);
        await foreign.evaluate((url) => ask(url, { method: "POST", credentials: "include", headers: { "Content-Type": "application/json" }, body: "3" }), post);
        await foreign.evaluate((url) => {
          document.body.innerHTML = `<form method=post enctype=text/plain action="${url}"><input name="4" value="4"></form>`;
          document.forms[0].submit();
        }, post);
        // One for each, the second by its preflight.
        for (const end = Date.now() + WAIT_MS; (await world.denied()) < before + 3; await sleep(50)) {
          assert.ok(Date.now() < end, `${from}: ${await world.denied() - before} of 3 requests were refused`);
        }
      }
      assert.deepEqual(await world.published(world.token()), [1]);
    });

    test("a sandboxed frame, whose origin is null, gets nothing, not even where all origins may ask", async (t) => {
      const world = await start(t, ["*"]);
      const page = await world.open("www.shop");
      const { told } = await page.evaluate((url, token) => ticket(url, token, {}), world.url, world.token());
      const stream = streamOf(world.url, told.ticket);
      const before = await world.denied();
      const seen = await page.evaluate((url, helpers) => new Promise((done) => {
        addEventListener("message", (event) => done({ origin: event.origin, ...event.data }));
        const frame = document.createElement("iframe");
        frame.sandbox = "allow-scripts";
        frame.srcdoc = `<script>(${helpers})();
          ask(${JSON.stringify(url)}).then(({ failed }) => {
            read(${JSON.stringify(url)}).source.onerror = () => parent.postMessage({ failed, state: kept.state() }, "*");
          })</script>`;
        document.body.append(frame);
      }), stream, `${helpers}`);
      assert.deepEqual(seen, { origin: "null", failed: "TypeError", state: 2 });
      assert.ok(await world.denied() >= before + 2);
      await page.evaluate((url) => void read(url), stream); // the page around it reads
      await opened(page);
    });

    test("where all origins may ask, any page reads by its ticket, and none with what the browser would add", async (t) => {
      const world = await start(t, ["*"]);
      const page = await world.open("www.foreign");
      const { told } = await page.evaluate((url, token) => ticket(url, token, {}), world.url, world.token());
      await page.evaluate((url) => void read(url), streamOf(world.url, told.ticket));
      await opened(page);
      await world.publish(1);
      assert.deepEqual(await events(page, 1), [1]);
      const answer = await page.evaluate((url) => ask(`${url}/time`, { credentials: "include" }), world.url);
      assert.deepEqual(answer, { failed: "TypeError" });
      assert.equal((await page.evaluate((url) => ask(`${url}/time`), world.url)).status, 200);
    });
  });
}
