// How the client's own code is made small, the same for everything that is built of it.
import { readFile } from "node:fs/promises";
import { build } from "esbuild";
import { minify } from "terser";

const here = import.meta.dirname ?? new URL(".", import.meta.url).pathname;

/** Plain options, for what has code of others in it. */
export const plain = { absWorkingDir: here, bundle: true, minify: true, write: false, format: "esm", target: "es2022", platform: "browser" };

/**
 * Members that begin with `_` are this package's own, and so are private ones:
 * they get names of one or two letters. What tabs, gateway and pages see has no `_`.
 */
const ownMembers = {
  name: "own members",
  setup({ onLoad }) {
    onLoad({ filter: /client\/core\/src\/.*\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, "utf8");
      for (const [, name] of text.matchAll(/#([a-z]\w*)/g)) {
        if (new RegExp(`(this\\.|^  (readonly |async |get )*)_${name}\\b`, "m").test(text)) throw new Error(`${path} has both #${name} and _${name}`);
      }
      return { contents: text.replace(/#(?=[a-z])/g, "_"), loader: "ts" };
    });
  },
};

export const small = {
  ...plain, mangleProps: /^_[a-zA-Z]/, plugins: [ownMembers], tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
};

/** Text of a module, once more as small. */
export async function squeeze(text, module = true) {
  const { code } = await minify(text, { module, ecma: 2022, compress: { passes: 3, keep_fargs: false, hoist_funs: true } });
  return code;
}

/**
 * The core as it is published: `index`, which imports nothing, and the chunk that
 * it loads when it is connected. Names of members are the same in both.
 */
export async function core() {
  const first = await build({ ...small, entryPoints: ["core/src/index.ts"], external: ["./late/index"], mangleCache: {} });
  const rest = await build({ ...small, entryPoints: ["core/src/late/index.ts"], mangleCache: first.mangleCache });
  return { index: (await squeeze(first.outputFiles[0].text)).replaceAll('import("./late/index")', 'import("./late.js")'), late: await squeeze(rest.outputFiles[0].text) };
}

/** The entry `ticket`, which imports nothing. */
export async function ticket() {
  const { outputFiles: [made] } = await build({ ...small, entryPoints: ["core/src/ticket.ts"] });
  return squeeze(made.text);
}
