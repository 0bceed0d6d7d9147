// A page that signs in: tokens of an issuer, from another origin, renewed while
// the stream runs.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startIssuer } from "../../../hack/clients/lib/issuer.js";
import { launch, publish, servePage, sleep, startFor, streams, Tab } from "./lib/tabs.js";

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
