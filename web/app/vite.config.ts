import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const sdk = (file: string) => fileURLToPath(new URL(`../../sdk/ts/src/${file}`, import.meta.url));

// The output is committed and embedded in the binary: it must not depend on where or when it is built.
export default defineConfig({
  base: "/",
  resolve: { alias: { "@carillon/client/msgpack": sdk("msgpack.ts"), "@carillon/client": sdk("index.ts") } },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    outDir: "../dist",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the policy of the pages allows no data: URLs
    modulePreload: { polyfill: false },
    sourcemap: false,
  },
  server: { proxy: { "/ws": { target: "ws://127.0.0.1:8000", ws: true }, "/api": "http://127.0.0.1:8000" } },
});
