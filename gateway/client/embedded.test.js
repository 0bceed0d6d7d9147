import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { bundle, path } from "./embedded.js";

test("the gateway serves the client of these sources", async () => {
  const same = (await readFile(path, "utf8")) === (await bundle());
  expect(same, "gateway/server/client.js is another one: npm run build, in gateway/client, writes it").toBe(true);
});
