// The script of the HTML page: decodes the numbers, paints arrays on canvases, says the number under the pointer.
// It is text, not a module: it runs in the reader's browser and has nothing of this package at hand.

export const script: string = `
(() => {
  "use strict";
  const stored = JSON.parse(document.getElementById("numbers").textContent);
  const decoded = new Map();
  const read = (id) => {
    let found = decoded.get(id);
    if (found) return found;
    const { data, scale } = stored[id];
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    found = scale === undefined ? new Float32Array(bytes.buffer) : Float64Array.from(new Int16Array(bytes.buffer), (v) => v * scale);
    decoded.set(id, found);
    return found;
  };
  const show = (x, coarse) => x === 0 ? "0" : (coarse ? "≈ " : "") + (Math.abs(x) < 1e-4 || Math.abs(x) >= 1e6 ? x.toExponential(3) : String(+x.toPrecision(coarse ? 3 : 6))).replace("-", "−");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2).padEnd(2, hex[i]), 16));

  // A grid is tiles side by side, each of rows and columns; strides say where element (tile, row, column) is.
  const gridOf = (el) => JSON.parse(el.dataset.grid);
  const paint = (canvas) => {
    const g = gridOf(canvas), values = read(canvas.dataset.q), gap = g.tiles > 1 ? 1 : 0;
    const down = Math.ceil(g.tiles / g.across);
    canvas.width = g.across * (g.columns + gap) - gap;
    canvas.height = down * (g.rows + gap) - gap;
    const image = new ImageData(canvas.width, canvas.height);
    const pos = rgb(css("--pos")), neg = rgb(css("--neg")), ink = rgb(css("--ink"));
    for (let t = 0; t < g.tiles; t++) for (let r = 0; r < g.rows; r++) for (let c = 0; c < g.columns; c++) {
      const v = values[t * g.strides[0] + r * g.strides[1] + c * g.strides[2]];
      const x = (t % g.across) * (g.columns + gap) + c, y = Math.floor(t / g.across) * (g.rows + gap) + r;
      const part = g.max === 0 ? 0 : Math.min(1, Math.abs(v) / g.max);
      image.data.set([...(g.ink ? ink : v < 0 ? neg : pos), Math.round(255 * Math.pow(part, g.ink ? 1 : 0.75))], 4 * (y * canvas.width + x));
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  };
  const canvases = [...document.querySelectorAll("canvas[data-q]")];
  const paintAll = () => canvases.forEach(paint);
  paintAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintAll);

  const tip = document.getElementById("tip");
  const elementAt = (el, event) => {
    const box = el.getBoundingClientRect();
    const u = Math.min(0.999999, Math.max(0, (event.clientX - box.left) / box.width)), v = Math.min(0.999999, Math.max(0, (event.clientY - box.top) / box.height));
    if (!el.dataset.grid) return [0, 0, Math.floor(u * Number(el.dataset.n))];
    const g = gridOf(el), gap = g.tiles > 1 ? 1 : 0, down = Math.ceil(g.tiles / g.across);
    const x = u * (g.across * (g.columns + gap) - gap), y = v * (down * (g.rows + gap) - gap);
    const tile = Math.floor(y / (g.rows + gap)) * g.across + Math.floor(x / (g.columns + gap));
    return [tile, Math.min(g.rows - 1, Math.floor(y % (g.rows + gap))), Math.min(g.columns - 1, Math.floor(x % (g.columns + gap)))];
  };
  const describe = (el, [t, r, c]) => {
    const values = read(el.dataset.q), coarse = stored[el.dataset.q].scale !== undefined;
    if (!el.dataset.grid) return el.dataset.axis + " " + c + ": " + show(values[c], coarse);
    const g = gridOf(el);
    if (t >= g.tiles) return "";
    const value = values[t * g.strides[0] + r * g.strides[1] + c * g.strides[2]];
    return [t, r, c].map((n, i) => g.axes[i] ? g.axes[i] + " " + n : "").filter(Boolean).join(" · ") + ": " + show(value, coarse);
  };
  const place = (text, x, y) => {
    tip.textContent = text;
    tip.style.display = text ? "block" : "none";
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(innerWidth - width - 4, x + 14)) + "px";
    tip.style.top = (y + height + 24 > innerHeight ? y - height - 12 : y + 18) + "px";
  };
  for (const el of document.querySelectorAll("[data-q]")) {
    el.tabIndex = 0;
    el.addEventListener("pointermove", (event) => place(describe(el, elementAt(el, event)), event.clientX, event.clientY));
    el.addEventListener("pointerleave", () => place("", 0, 0));
    el.addEventListener("blur", () => place("", 0, 0));
    let at = [0, 0, 0];
    el.addEventListener("keydown", (event) => {
      const step = { ArrowRight: [2, 1], ArrowLeft: [2, -1], ArrowDown: [1, 1], ArrowUp: [1, -1], PageDown: [0, 1], PageUp: [0, -1] }[event.key];
      if (!step) return;
      event.preventDefault();
      const limits = el.dataset.grid ? [gridOf(el).tiles, gridOf(el).rows, gridOf(el).columns] : [1, 1, Number(el.dataset.n)];
      at[step[0]] = Math.max(0, Math.min(limits[step[0]] - 1, at[step[0]] + step[1]));
      const box = el.getBoundingClientRect();
      place(describe(el, at), box.left, box.top);
      live.textContent = tip.textContent;
    });
  }
  const live = document.getElementById("live");
})();
`;
