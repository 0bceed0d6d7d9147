import { defineConfig } from "vitest/config";

const made = (path) => new URL(path, import.meta.url).pathname;

// The same tests over what `npm run build` made: members have other names there.
export default defineConfig({
  resolve: {
    alias: [
      { find: /^\.\.\/src\/client$/, replacement: made("./core/dist/index.js") },
      { find: /^\.\.\/src\/late\/index$/, replacement: made("./core/dist/late.js") },
    ],
  },
  test: { include: ["core/test/{client,connect,share}.test.ts"], disableConsoleIntercept: true },
});
