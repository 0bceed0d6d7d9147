// A page that signs in: tokens of an issuer, from another origin, renewed while
// the stream runs.
import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { after, before, describe, test } from "node:test";
import { launch, publish, servePage, sleep, startFor, streams, Tab } from "./lib/tabs.js";

/** An issuer with one key; `token` signs one that ends in so many seconds. */
async function startIssuer(t) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keys = JSON.stringify({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k1", alg: "ES256", use: "sig" }] });
  const server = http.createServer((_, response) => response.writeHead(200, { "Content-Type": "application/json" }).end(keys));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => (server.close(), server.closeAllConnections()));
  const url = `http://127.0.0.1:${server.address().port}`;
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = (seconds, channels, subject = "u7") => {
    const claims = { iss: url, aud: "pages", sub: subject, exp: Math.floor(Date.now() / 1000) + seconds, sg: { sub: channels } };
    const text = `${part({ alg: "ES256", kid: "k1", typ: "JWT" })}.${part(claims)}`;
    return `${text}.${sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
  };
  const jwt = { issuer: url, audiences: ["pages"], channelsClaim: "sg", jwks: { uri: `${url}/keys`, refreshInterval: "10m" }, clockSkew: "0s" };
  return { token, auth: { publishers: { mode: "Anonymous" }, subscribers: { mode: "JWT", jwt } } };
}

for (const name of ["chromium", "firefox"]) {
  describe(name, () => {
    let browser;
    before(async () => { browser = await launch(name === "chromium" ? "chrome" : name); });
    after(() => browser.close());

    test("a page reads by its token, goes on with the next one on the same stream, and is told what it may not read", async (t) => {
      const issuer = await startIssuer(t);
      const origin = await servePage(t);
      const gateway = await startFor(t, origin, { auth: issuer.auth });
      const tab = await Tab.open(t, browser, origin, gateway);
      let asked = 0;
      await tab.page.exposeFunction("login", () => issuer.token(asked++ ? 300 : 5, ["load", "mine.>"]));
      await tab.page.evaluate((url) => {
        page.client.close();
        page.denied = [];
        page.client = sg.createClient({ url, getToken: () => login(), onDenied: (names) => page.denied.push(...names) });
        page.subscribe(["load", "secret"]);
      }, `${gateway.url}/v2/realtime`);
      await tab.until("the stream", (m) => m.connectionState === "connected");
      await publish(gateway, "load", { n: 1 });
      await publish(gateway, "secret", { n: 99 });
      await sleep(7000); // the first token has ended
      await publish(gateway, "load", { n: 2 });
      await tab.until("both events", (m) => m.last === 2);
      assert.deepEqual(await tab.get("got"), [1, 2]);
      assert.deepEqual(await tab.get("denied"), ["secret"]);
      assert.equal(asked, 2);
      assert.equal((await streams(gateway)).total, 1);
    });
  });
}
