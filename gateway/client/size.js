// The size of what a page downloads, as `gzip -9` of one minified module.
//
//   node size.js    prints it, and fails when a package is over its budget
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = import.meta.dirname ?? new URL(".", import.meta.url).pathname;

/** Budgets are of the first entry, without what it leaves to the page, in bytes. */
export const packages = [
  { folder: "core", entries: ["index"], external: [], budget: 12 * 1024 },
  { folder: "react", entries: ["index"], external: ["react", "@streamgateway/client"], budget: 2 * 1024 },
];

/** Bundles an entry and resolves with its bytes, minified and gzipped. */
export async function measure(entry, external, workingFolder = here) {
  const result = await build({
    absWorkingDir: workingFolder, entryPoints: [entry], external, bundle: true, minify: true, write: false,
    format: "esm", target: "es2022", platform: "browser", logLevel: "silent",
  });
  const code = result.outputFiles[0].contents;
  return { minified: code.length, gzipped: gzipSync(code, { level: 9 }).length };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  for (const { folder, entries, external, budget } of packages) {
    const { minified, gzipped } = await measure(`${folder}/src/${entries[0]}.ts`, external);
    console.log(`${folder}: ${gzipped} bytes gzipped of ${budget}, ${minified} minified`);
    if (gzipped > budget) process.exitCode = 1;
  }
}
