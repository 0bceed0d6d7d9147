// Builds both packages into their dist folders: one minified module for each
// entry, without dependencies, and its types. And it writes the files that are
// committed: the client that the gateway serves, and the page of the demo.
//
//   node build.js
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { build } from "esbuild";
import { bundle, embedded } from "./embedded.js";
import { packages } from "./size.js";

const here = import.meta.dirname ?? new URL(".", import.meta.url).pathname;

for (const { folder, entries, external } of packages) {
  for (const entry of entries) {
    await build({
      absWorkingDir: here, entryPoints: [`${folder}/src/${entry}.ts`], outfile: `${folder}/dist/${entry}.js`,
      bundle: true, minify: true, format: "esm", target: "es2022", external, logLevel: "warning",
    });
  }
  execFileSync("npx", ["--no-install", "tsc", "-p", folder], { cwd: here, stdio: "inherit" });
}
for (const file of embedded) await writeFile(file.path, await bundle(file));
