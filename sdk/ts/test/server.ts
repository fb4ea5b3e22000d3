import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { inject, onTestFinished } from "vitest";
import WebSocket from "ws";
import { Carillon, type Options } from "../src/index.js";

/** A real server, on a port of its own. */
export class Server {
  url = "";
  #args: string[];
  #env: Record<string, string>;
  #process: ChildProcess | undefined;

  constructor(args: string[], env: Record<string, string>) {
    this.#args = args;
    this.#env = env;
  }

  async start(): Promise<this> {
    const listen = this.url ? new URL(this.url).host : "127.0.0.1:0";
    const [mode = "dev", ...rest] = this.#args;
    const p = spawn(inject("program"), [mode, "--listen", listen, "--internal-listen", "127.0.0.1:0", ...rest], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "", ...this.#env },
    });
    this.#process = p;
    let errors = "";
    p.stderr!.on("data", (b) => (errors += b));
    for await (const line of createInterface(p.stdout!)) {
      if (line.startsWith("{") && JSON.parse(line).event === "ready") {
        this.url = JSON.parse(line).url;
        p.stdout!.resume();
        return this;
      }
    }
    throw new Error(`the server did not start: ${errors}`);
  }

  /** Ends it without a word (SIGKILL), or in good order (SIGTERM). */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const p = this.#process;
    if (!p || p.exitCode !== null || p.signalCode !== null) return;
    p.kill(signal);
    await once(p, "exit");
  }
}

export interface ServerOptions {
  mode?: "dev" | "serve";
  flags?: string[];
  env?: Record<string, string>;
}

/** Starts a server for this test. */
export async function serve(o: ServerOptions = {}): Promise<Server> {
  const s = new Server([o.mode ?? "dev", ...(o.flags ?? [])], o.env ?? {});
  onTestFinished(() => s.kill());
  return s.start();
}

/** A folder of this test. */
export function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), "carillon-test-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A client of this test that goes back quickly. */
export function client(url: string, o: Options = {}): Carillon {
  const c = new Carillon(url, { WebSocket, backoff: { min: 20, max: 200 }, ...o });
  onTestFinished(() => c.close());
  return c;
}

/** Resolves with the first value of an event for which `want` holds. */
export function event<T>(on: (f: (value: T) => void) => () => void, want: (value: T) => boolean = () => true): Promise<T> {
  return new Promise((resolve) => {
    const off = on((value) => {
      if (!want(value)) return;
      off();
      resolve(value);
    });
  });
}

/** Waits until something holds. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((r) => setTimeout(r, 5));
}
