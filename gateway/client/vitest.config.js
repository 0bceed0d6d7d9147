import { defineConfig } from "vitest/config";

const source = (path) => new URL(path, import.meta.url).pathname;

// The packages test against each other's sources, so nothing has to be built first.
export default defineConfig({
  resolve: {
    alias: [
      { find: "@streamgateway/client/ticket", replacement: source("./core/src/ticket.ts") },
      { find: "@streamgateway/client/tokens", replacement: source("./core/src/tokens.ts") },
      { find: "@streamgateway/client", replacement: source("./core/src/index.ts") },
    ],
  },
  test: { include: ["*.test.js", "core/test/**/*.test.ts", "react/test/**/*.test.{ts,tsx}"], disableConsoleIntercept: true },
});
