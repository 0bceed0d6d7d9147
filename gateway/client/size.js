// The size of what a page downloads, as `gzip -9` of each minified module.
//
//   node size.js    prints it, and fails when something is over its budget
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { core, plain, ticket } from "./options.js";

const size = (code) => ({ minified: Buffer.byteLength(code), gzipped: gzipSync(code, { level: 9 }).length });

/** Bundles an entry and resolves with its bytes, minified and gzipped. */
export async function measure(entry, external) {
  const { outputFiles: [made] } = await build({ ...plain, entryPoints: [entry], external, logLevel: "silent" });
  return size(made.contents);
}

/**
 * What is measured, each with its budget in bytes: the core is all that an import
 * loads before its first event, the chunk comes when that is connected.
 */
export async function sizes() {
  const { index, late } = await core();
  const sum = [size(index), size(late)].reduce((a, b) => ({ minified: a.minified + b.minified, gzipped: a.gzipped + b.gzipped }));
  return {
    core: { ...size(index), budget: 7 * 1024 },
    "core, loaded later": { ...size(late), budget: Infinity },
    "core, in sum": { ...sum, budget: 12_246 },
    ticket: { ...size(await ticket()), budget: 1640 },
    react: { ...(await measure("react/src/index.ts", ["react", "@streamgateway/client"])), budget: 2 * 1024 },
  };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  for (const [name, { gzipped, minified, budget }] of Object.entries(await sizes())) {
    console.log(`${name}: ${gzipped} bytes gzipped${budget < Infinity ? ` of ${budget}` : ""}, ${minified} minified`);
    if (gzipped > budget) process.exitCode = 1;
  }
}
