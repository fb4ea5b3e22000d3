// Says if the built pages that are committed are what the sources build to, and if they are small enough.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const most = 60 * 1024; // bytes after gzip of what an address loads before it is complete
const mostLater = 8 * 1024; // of each thing that comes afterwards
const app = fileURLToPath(new URL("..", import.meta.url));
const committed = fileURLToPath(new URL("../../dist", import.meta.url));
const fresh = mkdtempSync(join(tmpdir(), "carillon-dist-"));

// What an address shows: the modules that are fetched for it, besides those of every page.
const entries = {
  "/": ["start.tsx"],
  "/chat": ["chat/page.tsx"],
  "/chess": ["chess/page.tsx"],
};
const later = {
  "the count of the unread": ["chat/chat.ts"], // fetched when a page is there, whichever it is
  "the forms of the lobby": ["chess/page.tsx", "chess/wishes.tsx"], // when one is opened
};

const list = (folder) => readdirSync(folder, { recursive: true, withFileTypes: true }).filter((f) => f.isFile()).map((f) => join(f.parentPath ?? f.path, f.name).slice(folder.length + 1)).sort();

/** How the committed files differ from those that were built just now. */
function differences() {
  const [want, have] = [list(fresh), list(committed)];
  const same = (f) => readFileSync(join(fresh, f)).equals(readFileSync(join(committed, f)));
  return [
    ...want.filter((f) => !have.includes(f)).map((f) => `web/dist lacks ${f}`),
    ...have.filter((f) => !want.includes(f)).map((f) => `web/dist has ${f}, which the sources do not build`),
    ...want.filter((f) => have.includes(f) && !same(f)).map((f) => `web/dist/${f} is not what the sources build`),
  ];
}

/** What each entry loads, in bytes after gzip, and those that load too much. */
function weigh(chunks) {
  const found = [];
  const close = (chunk, files) => {
    if (files.has(chunk.fileName)) return files;
    files.add(chunk.fileName);
    for (const css of chunk.viteMetadata?.importedCss ?? []) files.add(css);
    for (const name of chunk.imports) close(chunks.find((c) => c.fileName === name), files);
    return files;
  };
  const load = (modules, files) => {
    for (const m of modules) {
      const chunk = chunks.find((c) => c.facadeModuleId === join(app, "src", m));
      if (chunk) close(chunk, files);
      else found.push(`${m} has no chunk of its own: is it still imported lazily?`);
    }
    return files;
  };
  const size = (files) => [...files].reduce((sum, f) => sum + gzipSync(readFileSync(join(fresh, f))).length, 0);
  const judge = (what, bytes, limit) => {
    console.log(`${what}: ${bytes.toLocaleString("en")} bytes after gzip, of at most ${limit.toLocaleString("en")}`);
    if (bytes > limit) found.push(`${what}: ${(bytes - limit).toLocaleString("en")} bytes too much`);
  };
  const shell = () => close(chunks.find((c) => c.isEntry), new Set(["index.html"]));
  for (const [address, modules] of Object.entries(entries)) judge(address, size(load(modules, shell())), most);
  for (const [what, modules] of Object.entries(later)) {
    const before = load(modules.slice(0, -1), shell());
    judge(what, size(load(modules, new Set(before))) - size(before), mostLater);
  }
  const known = load([...Object.values(entries), ...Object.values(later)].flat(), shell());
  for (const c of chunks) if (!known.has(c.fileName)) found.push(`no budget holds for ${c.fileName}: name its module in test/dist.mjs`);
  return found;
}

const built = await build({ root: app, logLevel: "error", build: { outDir: fresh, emptyOutDir: true } });
const found = [...differences(), ...weigh(built.output.filter((o) => o.type === "chunk"))];
rmSync(fresh, { recursive: true, force: true });
for (const p of found) console.error(p);
if (found.length) {
  console.error("Make the sources lighter where something weighs too much; otherwise run `npm run build` in web/app and commit web/dist.");
  process.exitCode = 1;
}
