// The renderings: text of a tiny network as a snapshot; the page well-formed, self-contained, safe and small.
import { describe, expect, it } from "vitest";
import { tensor } from "../../engine/tensor/index.ts";
import { conv2d, dense, flatten } from "../nn/index.ts";
import { Sequential } from "../train/index.ts";
import { explain, renderHtml, renderText, type Explanation } from "./index.ts";

function tiny(): Explanation {
  const model = new Sequential([
    dense(2, { activation: "relu", inputShape: [2] }),
    dense(2, { activation: "softmax" }),
  ]);
  model.init(0, { dtype: "float32", shape: [1, 2] });
  model.load({
    "dense.kernel": tensor([
      [0.5, -0.75],
      [-0.125, 0.375],
    ]),
    "dense.bias": tensor([0.125, 0.25]),
    "dense_1.kernel": tensor([
      [0.25, -0.5],
      [0.625, 0.75],
    ]),
    "dense_1.bias": tensor([0, 0.25]),
  });
  const names = { classNames: ["cat", "dog"], loss: "sparse_categorical_crossentropy" };
  return explain(
    model,
    { input: [0.5, -1.5], target: 0 },
    { ...names, learningRate: 0.5, checks: { perParameter: 1 } },
  );
}

function classic(): Explanation {
  const model = new Sequential([
    dense(128, { activation: "relu", inputShape: [784] }),
    dense(64, { activation: "relu" }),
    dense(10, { activation: "softmax" }),
  ]).init(1, { dtype: "float32", shape: [1, 784] });
  const input = Array.from({ length: 784 }, (_, i) => (Math.hypot((i % 28) - 14, Math.floor(i / 28) - 14) < 8 ? 1 : 0));
  return explain(model, { input, target: 0 }, { loss: "sparse_categorical_crossentropy", checks: { perParameter: 1 } });
}

describe("text", () => {
  it("of a tiny network", () => {
    expect(renderText(tiny(), { width: 80 })).toMatchSnapshot();
  });

  it("keeps to the width, draws pictures, and has colours only where asked", () => {
    const e = classic();
    const text = renderText(e, { width: 90 });
    expect(Math.max(...text.split("\n").map((line) => [...line].length))).toBeLessThanOrEqual(130);
    expect(text).toContain("████");
    expect(text).not.toContain("\u001b");
    const colored = renderText(e, { color: true });
    expect(colored).toContain("\u001b[1m");
    expect(colored).toContain("▀");
  });
});

// Elements that have no end tag.
const VOID = new Set(["meta", "br", "!doctype", "line", "path", "rect"]);

/** Throws unless every element is closed in its own parent. Scripts and styles hold text. */
function checkNesting(html: string): string[] {
  const text = html.replace(/<(script|style)([^>]*)>[\s\S]*?<\/\1>/g, "<$1$2></$1>");
  const open: string[] = [];
  const seen: string[] = [];
  for (const [tag, slash, name, , end] of text.matchAll(
    /<(\/?)([a-z!][a-z0-9]*)((?:\s+[a-zA-Z][a-zA-Z0-9-]*(?:="[^"<>]*")?)*)\s*(\/?)>/g,
  )) {
    if (slash === "/") {
      const top = open.pop();
      if (top !== name) throw new Error(`${tag} closes <${top}>`);
    } else if (end !== "/" && !VOID.has(name!)) open.push(name!);
    seen.push(name!);
  }
  if (open.length > 0) throw new Error(`never closed: ${open.join(" ")}`);
  // Whatever else looks like a tag was not understood by the pattern above.
  const rest = text.replaceAll(/<(\/?)([a-z!][a-z0-9]*)((?:\s+[a-zA-Z][a-zA-Z0-9-]*(?:="[^"<>]*")?)*)\s*(\/?)>/g, "");
  const stray = /<[^\s]{0,40}/.exec(rest);
  if (stray !== null) throw new Error(`not an element: ${stray[0]}`);
  return seen;
}

describe("page", () => {
  const page = renderHtml(classic());

  it("is well-formed", () => {
    const seen = checkNesting(page);
    for (const name of ["math", "mfrac", "msup", "canvas", "svg", "section"]) expect(seen).toContain(name);
    expect(() => checkNesting("<div><p></div>")).toThrow("closes <p>");
  });

  it("loads nothing and forbids itself to", () => {
    const loads = /https?:|\/\/[a-z]|<script[^>]*\ssrc|<link|<img|<iframe|@import|url\(|import\(|fetch\(/;
    // Numbers in base64 may contain anything.
    expect(loads.exec(page.replace(/"data":"[^"]*"/g, ""))).toBeNull();
    expect(page.includes("default-src 'none'")).toBe(true);
  });

  it("holds the four steps and the check, in order, and is small", () => {
    const places = ["forward", "loss", "backward", "update", "check", "program"].map((id) =>
      page.indexOf(`id="${id}"`),
    );
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(Math.min(...places)).toBeGreaterThan(0);
    expect(page.length).toBeLessThan(1_500_000);
  });

  it("names every picture for those who cannot see it", () => {
    const pictures = [...page.matchAll(/<(?:canvas|svg)[^>]*>/g)].map(([tag]) => tag);
    expect(pictures.length).toBeGreaterThan(15);
    for (const tag of pictures)
      expect(tag).toMatch(/role="img".*aria-label="[^"]{10,}"|aria-label="[^"]{10,}".*role="img"/);
  });

  it("stores numbers that decode to what they were", () => {
    const e = classic();
    const json = /<script type="application\/json" id="numbers">(.*?)<\/script>/s.exec(page)![1]!;
    const stored = JSON.parse(json) as { data: string; scale?: number }[];
    const arrays = stored.map(({ data, scale }) => {
      const { buffer } = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
      return scale === undefined ? [...new Float32Array(buffer)] : Array.from(new Int16Array(buffer), (v) => v * scale);
    });
    for (const wanted of [e.layers[0]!.before["kernel"]!, e.layers[1]!.gradients["kernel"]!, e.layers[2]!.delta!]) {
      const top = Math.max(Math.abs(wanted.statistics.min), Math.abs(wanted.statistics.max));
      const close = arrays.some(
        (values) =>
          values.length === wanted.values.length &&
          values.every((v, i) => Math.abs(v - wanted.values[i]!) <= top / 32767),
      );
      expect(close).toBe(true);
    }
  });

  it("escapes names", () => {
    const evil = `</script><img src=x onerror="alert('1')">`;
    const e = tiny();
    const dirty: Explanation = {
      ...e,
      classNames: [evil, evil],
      notes: [evil],
      program: evil,
      model: { ...e.model, kind: evil },
      loss: { ...e.loss, name: evil },
      layers: e.layers.map((layer) => ({
        ...layer,
        path: evil,
        kind: evil,
        nonlinearity: evil,
        notes: [evil],
        operations: [evil],
        role: "other",
        before: { [evil]: layer.before["kernel"]! },
        gradients: { [evil]: layer.gradients["kernel"]! },
      })),
    };
    const html = renderHtml(dirty, { title: evil });
    expect(/<img|onerror="/.test(html)).toBe(false);
    checkNesting(html);
    expect(html.match(/<\/script>/g)).toHaveLength(2);
  });

  it("shows layers without a formula by operations and feature maps", () => {
    const model = new Sequential([
      conv2d(3, [3, 3], { activation: "relu", inputShape: [8, 8, 1] }),
      flatten(),
      dense(2),
    ]).init(0, { dtype: "float32", shape: [1, 8, 8, 1] });
    const input = Array.from({ length: 8 }, (_, i) => Array.from({ length: 8 }, (__, j) => [Math.cos(i + j * j)]));
    const html = renderHtml(explain(model, { input, target: [1, 0] }, { loss: "mse" }));
    checkNesting(html);
    expect(/<code>conv [^<]*relu<\/code>/.test(html)).toBe(true);
    expect(html.includes("&#34;channel&#34;")).toBe(true);
  });

  it("says what it does not draw", () => {
    const model = new Sequential([dense(700, { inputShape: [700] }), dense(1)]);
    model.init(0, { dtype: "float32", shape: [1, 700] });
    const input = Array.from({ length: 700 }, (_, i) => Math.sin(i));
    const html = renderHtml(explain(model, { input, target: [1] }, { loss: "mse", checks: { perParameter: 0 } }));
    expect(html.includes("Not drawn: 490,000 numbers")).toBe(true);
    expect(html.length).toBeLessThan(1_500_000);
  });
});
