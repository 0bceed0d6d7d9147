import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { bundle, embedded } from "./embedded.js";

for (const file of embedded) {
  test(`what is committed of ${file.from} is made from these sources`, async () => {
    const same = (await readFile(file.path, "utf8")) === (await bundle(file));
    expect(same, `${file.path} is another one: npm run build, in gateway/client, writes it`).toBe(true);
  }, 60_000);
}
