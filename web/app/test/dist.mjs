// Says if the built pages that are committed are what the sources build to, and if they are small enough.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const most = 60 * 1024; // bytes after gzip of what a page loads at first
const mostBesides = 32 * 1024; // of the pages that are fetched when they are first shown
const app = fileURLToPath(new URL("..", import.meta.url));
const committed = fileURLToPath(new URL("../../dist", import.meta.url));
const fresh = mkdtempSync(join(tmpdir(), "carillon-dist-"));

const list = (folder) => readdirSync(folder, { recursive: true, withFileTypes: true }).filter((f) => f.isFile()).map((f) => join(f.parentPath ?? f.path, f.name).slice(folder.length + 1)).sort();

function problems() {
  const built = spawnSync(join(app, "node_modules/.bin/vite"), ["build", "--outDir", fresh, "--emptyOutDir"], { cwd: app, encoding: "utf8" });
  if (built.status !== 0) return [`the build failed: ${built.stderr}`];
  const found = [];
  const [want, have] = [list(fresh), list(committed)];
  for (const f of want.filter((f) => !have.includes(f))) found.push(`web/dist lacks ${f}`);
  for (const f of have.filter((f) => !want.includes(f))) found.push(`web/dist has ${f}, which the sources do not build`);
  for (const f of want.filter((f) => have.includes(f))) if (!readFileSync(join(fresh, f)).equals(readFileSync(join(committed, f)))) found.push(`web/dist/${f} is not what the sources build`);
  const code = want.filter((f) => /\.(html|js|css)$/.test(f));
  const page = readFileSync(join(fresh, "index.html"), "utf8");
  const first = code.filter((f) => f === "index.html" || page.includes(f));
  for (const [what, files, limit] of [["the first page", first, most], ["what other pages load besides", code.filter((f) => !first.includes(f)), mostBesides]]) {
    const size = files.reduce((sum, f) => sum + gzipSync(readFileSync(join(fresh, f))).length, 0);
    console.log(`${what}: ${size.toLocaleString("en")} bytes after gzip, of at most ${limit.toLocaleString("en")}`);
    if (size > limit) found.push(`${what}: too much`);
  }
  return found;
}

const found = problems();
rmSync(fresh, { recursive: true, force: true });
for (const p of found) console.error(p);
if (found.length) {
  console.error("Run `npm run build` in web/app and commit web/dist.");
  process.exitCode = 1;
}
