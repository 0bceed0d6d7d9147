// The size of this client beside those of others, each as `gzip -9` of one
// minified module with everything that its main entry exports.
//
//   npm run size:peers
import { readFile, writeFile, rm } from "node:fs/promises";
import { measure, sizes } from "./size.js";

const here = new URL(".", import.meta.url).pathname;
const { dependencies } = JSON.parse(await readFile(`${here}peers/package.json`, "utf8"));

const own = await sizes();
const rows = [
  ["@streamgateway/client", own.core],
  ["what it loads when it is connected", own["core, loaded later"]],
  ["@streamgateway/react, on top", own.react],
];
for (const [name, version] of Object.entries(dependencies)) {
  const entry = `${here}peers/entry.js`;
  await writeFile(entry, `export * from ${JSON.stringify(name)};\n`);
  rows.push([`${name} ${version}`, await measure(entry, [])]);
  await rm(entry);
}
for (const [name, { gzipped, minified }] of rows) console.log(`| ${name} | ${gzipped} | ${minified} |`);
