// Builds dist/: ES modules with their types, and a script for pages without modules. Says what each entry weighs.
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { minify } from "terser";
import { build } from "vite";

/** Bytes after gzip -9 that an entry may weigh, with all it imports. */
const budgets = { core: 8192, index: 9300, msgpack: 1800, react: 1100, "carillon.iife": 9300 };

const root = new URL("..", import.meta.url).pathname;
const dist = root + "dist/";
rmSync(dist, { recursive: true, force: true });

const common = { configFile: false, logLevel: "warn", root };
const small = { module: true, compress: { passes: 3, ecma: 2022 }, mangle: true, format: { comments: false } };

const modules = { core: "src/core.ts", index: "src/index.ts", msgpack: "src/msgpack.ts", react: "src/react.ts" };
await build({
  ...common,
  build: {
    target: "es2022", minify: false, outDir: dist, emptyOutDir: false,
    lib: { entry: modules, formats: ["es"] },
    rollupOptions: { external: ["react"], output: { chunkFileNames: "shared/[name].js" } },
  },
});
await build({
  ...common,
  build: {
    target: "es2022", minify: true, outDir: dist, emptyOutDir: false,
    lib: { entry: "src/global.ts", formats: ["iife"], name: "carillon", fileName: () => "carillon.iife.js" },
  },
});
const script = dist + "carillon.iife.js";
writeFileSync(script, (await minify(readFileSync(script, "utf8"), { ...small, module: false, toplevel: true })).code + "\n");

execFileSync(root + "node_modules/.bin/tsc", ["-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });

let heavy = false;
for (const [name, budget] of Object.entries(budgets)) {
  const bytes = gzipSync(await weighed(name), { level: 9 }).length;
  const verdict = bytes > budget ? "TOO HEAVY" : "ok";
  heavy ||= bytes > budget;
  console.log(`${name.padEnd(14)} ${String(bytes).padStart(5)} of ${budget} bytes after gzip  ${verdict}`);
}
if (heavy) process.exit(1);

/** What a page would load for an entry: it and all it imports in one minified file. */
async function weighed(name) {
  if (!modules[name]) return readFileSync(script);
  const external = name === "react" ? ["react"] : [];
  const out = await build({
    ...common,
    build: { write: false, target: "es2022", minify: true, lib: { entry: `${dist}${name}.js`, formats: ["es"] }, rollupOptions: { external } },
  });
  return (await minify((Array.isArray(out) ? out[0] : out).output[0].code, small)).code;
}
