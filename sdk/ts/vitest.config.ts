import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    globalSetup: "test/build-server.ts",
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    include: ["test/**/*.test.{ts,tsx}"],
  },
});
