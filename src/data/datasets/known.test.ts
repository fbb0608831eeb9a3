// Known data sets: the digits that ship, hashes, CIFAR's layout, and fetching from a server that breaks off.
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ArgumentError, DataError, HostArray } from "../../engine/core/index.ts";
import { encodeIdx } from "../formats/idx.ts";
import { cifar10, decodeCifar, listTar } from "./cifar.ts";
import { fetchDataset, fetchFiles } from "./fetch.ts";
import type { KnownFile } from "./known.ts";
import { fashionMnist, mnist } from "./mnist.ts";

const temporary = (): Promise<string> => mkdtemp(join(tmpdir(), "known-"));

describe("mnist()", () => {
  it("has 9,000 and 1,000 mixed digits", async () => {
    const { trainImages, trainLabels, testImages, testLabels, classNames } = await mnist();
    expect([trainImages, trainLabels, testImages, testLabels].map(String)).toEqual([
      "uint8[9000,28,28]",
      "uint8[9000]",
      "uint8[1000,28,28]",
      "uint8[1000]",
    ]);
    expect(classNames).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    const counts = (labels: Uint8Array): number[] =>
      classNames.map((_, c) => labels.filter((label) => label === c).length);
    for (const count of counts(testLabels.data)) expect(count).toBeGreaterThan(70);
    const total = counts(trainLabels.data).map((count, c) => count + counts(testLabels.data)[c]!);
    expect(Math.min(...total)).toBe(863);
    expect(Math.max(...total)).toBe(1127);
    // Mixed: neighbours are of one class about one time in ten.
    const same = trainLabels.data.filter((label, i) => label === trainLabels.data[i + 1]).length;
    expect(same / 9000).toBeLessThan(0.12);
  });

  it("has labels that belong to their pictures: the nearest class mean finds most digits", async () => {
    const { trainImages, trainLabels, testImages, testLabels } = await mnist();
    const means = Array.from({ length: 10 }, () => new Float64Array(784));
    const counts = new Float64Array(10);
    trainLabels.data.forEach((label, i) => {
      counts[label]!++;
      for (let p = 0; p < 784; p++) means[label]![p]! += trainImages.data[i * 784 + p]!;
    });
    let right = 0;
    testLabels.data.forEach((label, i) => {
      const distances = means.map((mean, c) =>
        mean.reduce((sum, value, p) => sum + (value / counts[c]! - testImages.data[i * 784 + p]!) ** 2, 0),
      );
      if (distances.indexOf(Math.min(...distances)) === label) right++;
    });
    expect(right / 1000).toBeGreaterThan(0.75);
  });

  it("checks the original files by hash", async () => {
    const folder = await temporary();
    await expect(mnist({ folder })).rejects.toMatchObject({ code: "unreadable" });
    const images = encodeIdx(new HostArray("uint8", [2, 28, 28]), { gzip: true });
    for (const part of ["train", "t10k"]) {
      await writeFile(join(folder, `${part}-images-idx3-ubyte.gz`), images);
      await writeFile(join(folder, `${part}-labels-idx1-ubyte`), encodeIdx(new HostArray("uint8", [2])));
    }
    await expect(mnist({ folder })).rejects.toMatchObject({ code: "wrong-hash" });
    await expect(fashionMnist({ folder })).rejects.toMatchObject({ code: "wrong-hash" });
  });

  it("says how to get a folder where one is needed", async () => {
    await expect(fashionMnist()).rejects.toThrow(/chainrule data fetch fashion-mnist/);
    await expect(cifar10()).rejects.toThrow(DataError);
  });
});

describe("CIFAR-10", () => {
  const record = (label: number): Buffer =>
    Buffer.concat([Buffer.from([label]), Buffer.alloc(1024, 1), Buffer.alloc(1024, 2), Buffer.alloc(1024, 3)]);

  it("puts the planes of a record into the last axis", () => {
    const first = record(7);
    first[1 + 33] = 99; // red of row 1, column 1
    const { images, labels } = decodeCifar(
      [Buffer.concat([first, record(0)]), Buffer.concat([record(9), record(1)])],
      2,
    );
    expect(images.shape).toEqual([4, 32, 32, 3]);
    expect([...labels.data]).toEqual([7, 0, 9, 1]);
    expect([...images.data.subarray(33 * 3, 34 * 3)]).toEqual([99, 2, 3]);
    expect([...images.data.subarray(-3)]).toEqual([1, 2, 3]);
    expect(() => decodeCifar([record(10)], 1)).toThrow(expect.objectContaining({ code: "bad-label" }) as Error);
    expect(() => decodeCifar([record(1)], 2)).toThrow(expect.objectContaining({ code: "size-mismatch" }) as Error);
  });

  const tar = (name: string, body: Buffer): Buffer => {
    const head = Buffer.alloc(512);
    head.write(name, 0);
    head.write(`${body.length.toString(8).padStart(11, "0")}\0`, 124);
    head.write("        0", 148);
    head.write("ustar\0", 257);
    head.write(
      `${head
        .reduce((a, b) => a + b, 0)
        .toString(8)
        .padStart(6, "0")}\0 `,
      148,
    );
    return Buffer.concat([head, body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
  };
  it("reads tar archives", () => {
    const archive = Buffer.concat([
      tar("d/a.bin", Buffer.from("hello")),
      tar("d/b.bin", Buffer.alloc(512, 7)),
      Buffer.alloc(1024),
    ]);
    const files = listTar(archive, "x.tar");
    expect([...files.keys()]).toEqual(["a.bin", "b.bin"]);
    expect(Buffer.from(files.get("a.bin")!).toString()).toBe("hello");
    expect(() => listTar(Buffer.from(archive).fill(1, 100, 101), "x.tar")).toThrow(
      expect.objectContaining({ code: "bad-tar" }) as Error,
    );
    expect(() => listTar(archive.subarray(0, 600), "x.tar")).toThrow(
      expect.objectContaining({ code: "truncated" }) as Error,
    );
  });
  it("checks archive and batches by hash", async () => {
    const folder = await temporary();
    await writeFile(join(folder, "data_batch_1.bin"), "x");
    await expect(cifar10({ folder })).rejects.toMatchObject({ name: "FormatError" });
    await writeFile(join(folder, "cifar-10-binary.tar.gz"), "x");
    await expect(cifar10({ folder })).rejects.toMatchObject({ code: "wrong-hash" });
  });
});

describe("fetching", () => {
  const content = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) % 251));
  const file: KnownFile = {
    name: "file.bin",
    bytes: content.length,
    sha256: createHash("sha256").update(content).digest("hex"),
  };
  const requests: string[] = [];
  let server: Server;
  let base = "";
  beforeAll(async () => {
    server = createServer((request, response) => {
      const [, kind] = request.url!.split("/");
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      requests.push(`${kind} ${from}`);
      if (kind === "none") return response.writeHead(404).end();
      if (kind === "wrong") return response.end(Buffer.alloc(content.length));
      if (kind === "long") return response.end(Buffer.concat([content, content]));
      if (kind === "whole") return response.end(content); // ignores the range
      const end = kind === "breaking" ? Math.min(content.length, from + 120_000) : content.length;
      response.writeHead(from > 0 ? 206 : 200, {
        "content-length": content.length - from,
        ...(from > 0 ? { "content-range": `bytes ${from}-${content.length - 1}/${content.length}` } : {}),
      });
      if (end === content.length) return response.end(content.subarray(from));
      // Time for the client to take what was sent: what it has not read yet is lost when the connection breaks.
      response.write(content.subarray(from, end), () => setTimeout(() => response.destroy(), 50));
      return response;
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));
  const from = (...kinds: string[]): string[] => kinds.map((kind) => `${base}${kind}/`);

  it("gets a file, and leaves it alone when it is there", async () => {
    const folder = await temporary();
    const seen: number[] = [];
    const options = { folder, onProgress: ({ received }: { received: number }) => void seen.push(received) };
    expect(await fetchFiles([file], from("good"), options)).toEqual({ folder, fetched: ["file.bin"], present: [] });
    expect(seen.at(-1)).toBe(content.length);
    expect((await readFile(join(folder, "file.bin"))).equals(content)).toBe(true);
    const before = requests.length;
    expect((await fetchFiles([file], from("good"), { folder })).present).toEqual(["file.bin"]);
    expect(requests.length).toBe(before);
  });

  it("goes on where a connection broke off, at the next call and at the next mirror", async () => {
    const folder = await temporary();
    await expect(fetchFiles([file], from("breaking"), { folder })).rejects.toThrow(DataError);
    expect(await readdir(folder)).toEqual(["file.bin.part"]);
    const { size } = await stat(join(folder, "file.bin.part"));
    expect(size).toBeGreaterThan(0);
    requests.length = 0;
    await fetchFiles([file], from("breaking", "good"), { folder });
    expect(requests).toEqual([`breaking ${size}`, expect.stringMatching(/^good [1-9]\d+$/) as string]);
    expect((await readFile(join(folder, "file.bin"))).equals(content)).toBe(true);
    expect(await readdir(folder)).toEqual(["file.bin"]);
  });

  it("starts again where a server ignores the range", async () => {
    const folder = await temporary();
    await writeFile(join(folder, "file.bin.part"), content.subarray(0, 1000));
    await fetchFiles([file], from("whole"), { folder });
    expect((await readFile(join(folder, "file.bin"))).equals(content)).toBe(true);
  });

  it("never keeps a file with a wrong hash, and replaces a damaged one", async () => {
    const folder = await temporary();
    await expect(fetchFiles([file], from("none", "wrong", "long"), { folder })).rejects.toThrow(/404[^]*hash/);
    expect(await readdir(folder)).not.toContain("file.bin");
    await writeFile(join(folder, "file.bin"), Buffer.alloc(content.length));
    await fetchFiles([file], from("wrong", "good"), { folder });
    expect((await readFile(join(folder, "file.bin"))).equals(content)).toBe(true);
  });

  it("knows its data sets", async () => {
    await expect(fetchDataset("imagenet" as never, await temporary())).rejects.toThrow(ArgumentError);
    await expect(fetchDataset("toString" as never, await temporary())).rejects.toThrow(/there are: mnist/);
  });
});
