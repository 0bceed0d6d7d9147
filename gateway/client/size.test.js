import { expect, test } from "vitest";
import { measure, packages } from "./size.js";

for (const { folder, entries, external, budget } of packages) {
  test(`the ${folder} package stays within ${budget} bytes`, async () => {
    const { gzipped, minified } = await measure(`${folder}/src/${entries[0]}.ts`, external);
    console.log(`size of ${folder}: ${gzipped} bytes gzipped of ${budget}, ${minified} minified`);
    expect(gzipped).toBeLessThanOrEqual(budget);
  });
}
