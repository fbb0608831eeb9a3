// Unit tests beside their sources and suites in test/, both run straight on the TypeScript sources.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["src/**/*.test.ts", "test/**/*.test.ts"], pool: "forks", testTimeout: 60_000 },
}) as object;
