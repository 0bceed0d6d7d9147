// Builds both packages into their dist folders: minified modules, without
// dependencies, and their types. And it writes the files that are committed: the
// client that the gateway serves, and the page of the demo.
//
//   node build.js
import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { build } from "esbuild";
import { bundle, embedded } from "./embedded.js";
import { core, plain, small, ticket } from "./options.js";

const here = import.meta.dirname ?? new URL(".", import.meta.url).pathname;

for (const folder of ["core", "react"]) {
  await mkdir(`${here}/${folder}/dist`, { recursive: true });
  execFileSync("npx", ["--no-install", "tsc", "-p", folder], { cwd: here, stdio: "inherit" });
}
for (const [name, text] of Object.entries(await core())) await writeFile(`${here}/core/dist/${name}.js`, text);
await build({ ...small, write: true, entryPoints: ["core/src/tokens.ts"], outfile: "core/dist/tokens.js" });
await writeFile(`${here}/core/dist/ticket.js`, await ticket());
await build({ ...plain, write: true, entryPoints: ["react/src/index.ts"], outfile: "react/dist/index.js", external: ["react", "@streamgateway/client"] });
for (const file of embedded) await writeFile(file.path, await bundle(file));
