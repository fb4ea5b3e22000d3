import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** The server under test, built once; "" where there is no Go. */
    program: string;
  }
}

const repository = join(import.meta.dirname, "../../..");

export default function setup(project: TestProject): () => void {
  const dir = mkdtempSync(join(tmpdir(), "carillon-sdk-"));
  const program = process.env.SERVER_PROGRAM || join(dir, "carillon");
  if (!process.env.SERVER_PROGRAM) execFileSync("go", ["build", "-o", program, "./cmd/carillon"], { cwd: repository, stdio: "inherit" });
  project.provide("program", program);
  return () => rmSync(dir, { recursive: true, force: true });
}
