import { expect, test } from "vitest";
import { sizes } from "./size.js";

test("what a page downloads stays within its budgets", async () => {
  for (const [name, { gzipped, minified, budget }] of Object.entries(await sizes())) {
    console.log(`size of ${name}: ${gzipped} bytes gzipped${budget < Infinity ? ` of ${budget}` : ""}, ${minified} minified`);
    expect(gzipped, name).toBeLessThanOrEqual(budget);
  }
}, 60_000);
