import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "carillon-web-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

/** The program under test: CARILLON_BINARY, or one that is built from the sources. */
export const program = process.env.CARILLON_BINARY ?? build();

function build() {
  const out = join(folder, "carillon");
  execFileSync("go", ["build", "-o", out, "./cmd/carillon"], { cwd: root, stdio: "inherit" });
  return out;
}

/** The browser, or undefined where there is none. */
export const chromium = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((p) => p && existsSync(p));

async function freePort() {
  const s = createServer().listen(0, "127.0.0.1");
  await once(s, "listening");
  const { port } = s.address();
  s.close();
  await once(s, "close");
  return port;
}

/** A real server on ports of its own, which keeps what it knows in a folder of its own. */
export class Server {
  #process;
  #data = mkdtempSync(join(folder, "data-"));
  url = "";

  async start() {
    const listen = this.url ? new URL(this.url).host : `127.0.0.1:${await freePort()}`;
    const p = spawn(program, ["dev", "--listen", listen, "--internal-listen", "127.0.0.1:0", "--data", this.#data], { stdio: ["ignore", "pipe", "pipe"], env: { PATH: process.env.PATH, HOME: folder } });
    this.#process = p;
    let errors = "";
    p.stderr.on("data", (b) => (errors += b));
    for await (const line of createInterface(p.stdout)) {
      if (!line.startsWith("{") || JSON.parse(line).event !== "ready") continue;
      this.url = `http://${listen}`;
      p.stdout.resume();
      return this;
    }
    throw new Error(`the server did not start: ${errors}`);
  }

  async kill(signal = "SIGKILL") {
    const p = this.#process;
    if (!p || p.exitCode !== null || p.signalCode !== null) return;
    p.kill(signal);
    await once(p, "exit");
  }
}
