// Unit tests beside their sources and suites in test/, both run straight on the TypeScript sources.
import { defineConfig } from "vitest/config";
import { layers } from "./layers.ts";

// `chainrule` and `chainrule/<layer>` in tests and documented examples mean the sources.
const src = new URL("./src/", import.meta.url).pathname;
const alias = [
  { find: /^chainrule$/, replacement: `${src}index.ts` },
  ...layers.map(({ name, folder }) => ({ find: `chainrule/${name}`, replacement: `${src}${folder}/index.ts` })),
];

export default defineConfig({
  resolve: { alias },
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    pool: "forks",
    testTimeout: 60_000,
    reporters: ["default", "./scripts/lib/reporter.mjs"],
  },
}) as object;
