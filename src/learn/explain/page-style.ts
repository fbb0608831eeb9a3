// The style of the HTML page: one column to read, light and dark, fit for print.

export const style: string = `
:root { color-scheme: light dark; --paper: #fcfbf8; --card: #fff; --ink: #1d1f24; --faint: #686c76; --line: #e3e0d8;
  --pos: #cf4a14; --neg: #2069b4; --forward: #0f766e; --backward: #a8325a; --good: #15803d; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --paper: #14161a; --card: #1b1e24; --ink: #e8e6e1; --faint: #9a9ea8; --line: #2e323a;
  --pos: #f28a4b; --neg: #6bb0f5; --forward: #4fd1c0; --backward: #f08bb0; --good: #6ad68f; --bad: #ff8f85; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.6 ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main, header, footer { max-width: 66rem; margin: 0 auto; padding: 0 1.5rem; }
h1, h2, h3, .big, .lead { font-family: ui-serif, "Iowan Old Style", "Palatino Linotype", Palatino, Georgia, serif; font-weight: 600; line-height: 1.2; text-wrap: balance; }
h1 { font-size: 2.4rem; margin: 0 0 1rem; letter-spacing: -.01em; }
h2 { font-size: 1.9rem; margin: 0; }
h3 { font-size: 1.25rem; margin: 0; }
p { margin: .6rem 0; max-width: 44rem; text-wrap: pretty; }
code, pre, .path { font-family: ui-monospace, "SF Mono", "Cascadia Code", Menlo, Consolas, monospace; font-size: .82em; }
.path, .faint, figcaption { color: var(--faint); }
.num, td.n { font-variant-numeric: tabular-nums; white-space: nowrap; }
math { font-size: 1.25rem; font-family: "STIX Two Math", "Cambria Math", "Latin Modern Math", math, serif; }
.formula { margin: .7rem 0; padding-left: .1rem; overflow-x: auto; overflow-y: hidden; } td math, th math, p math, .neuron math { font-size: 1.1rem; }
.hero { display: grid; grid-template-columns: auto 1fr; gap: 2.5rem; align-items: center; padding: 3.5rem 0 2rem; }
.hero.plain { grid-template-columns: 1fr; }
.hero canvas { width: 15rem; height: auto; border: 1px solid var(--line); border-radius: .6rem; background: var(--card); padding: .5rem; image-rendering: pixelated; display: block; }
.lead { font-size: 1.35rem; font-weight: 400; line-height: 1.45; max-width: 40rem; margin: 0 0 1rem; }
.pos { color: var(--pos); } .neg { color: var(--neg); } .good { color: var(--good); } .bad { color: var(--bad); }
nav ol { display: flex; flex-wrap: wrap; gap: .4rem 1.6rem; list-style: none; margin: 1.2rem 0 0; padding: 0; }
nav a { color: inherit; text-decoration: none; border-bottom: 2px solid var(--line); padding-bottom: .1rem; }
nav a:hover { border-color: currentColor; }
section { margin: 3.5rem 0; }
.step { display: flex; align-items: baseline; gap: .9rem; border-bottom: 1px solid var(--line); padding-bottom: .6rem; margin-bottom: .4rem; }
.step b { font: 600 1.1rem/1 ui-serif, Georgia, serif; color: #fff; background: var(--tone, var(--ink)); width: 1.9rem; height: 1.9rem; display: inline-grid; place-items: center; border-radius: 50%; flex: none; align-self: center; }
#forward, #loss { --tone: #0f766e; } #backward { --tone: #a8325a; } #update { --tone: #7c5a12; } #check { --tone: #15803d; }
article { background: var(--card); border: 1px solid var(--line); border-radius: .8rem; padding: 1.3rem 1.5rem 1.4rem; margin: 1.2rem 0; break-inside: avoid-page; }
article > .head { display: flex; flex-wrap: wrap; justify-content: space-between; gap: .2rem 1rem; align-items: baseline; }
.figures { display: flex; flex-wrap: wrap; gap: 1.2rem 1.6rem; margin-top: 1rem; align-items: flex-start; } .figures > figure > figcaption { min-height: 2.5em; } .figures > figure.wide > figcaption { min-height: 0; } .figures > figure { flex: 1 1 12.5rem; } .figures > figure.wide { flex-basis: 100%; }
.pair { display: flex; flex-wrap: wrap; gap: 0 3.2rem; align-items: center; }
.beside { display: flex; flex-wrap: wrap; gap: 1rem 3rem; align-items: center; } .beside > * { flex: 1 1 20rem; }
.chain { display: grid; grid-template-columns: 1fr auto 1fr auto 1fr; gap: .8rem; align-items: end; margin-top: 1rem; }
.chain > .sign { font-size: 1.5rem; color: var(--faint); padding-bottom: 1.9rem; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: .84rem; line-height: 1.4; margin-bottom: .35rem; } figcaption b { color: var(--ink); font-weight: 600; } figcaption math { font-size: 1.02rem; color: var(--ink); }
figure canvas { width: 100%; height: auto; display: block; image-rendering: pixelated; border-radius: .25rem; outline-offset: 2px; background: color-mix(in srgb, var(--ink) 4%, transparent); }
figure svg { width: 100%; height: 6.2rem; display: block; border-radius: .25rem; background: color-mix(in srgb, var(--ink) 4%, transparent); }
svg .pos { fill: var(--pos); } svg .neg { fill: var(--neg); } svg .zero { stroke: var(--faint); stroke-width: 1; vector-effect: non-scaling-stroke; opacity: .5; }
[data-q] { cursor: crosshair; touch-action: pan-y; } [data-q]:focus-visible { outline: 2px solid var(--forward); }
table { border-collapse: collapse; font-size: .9rem; margin: .9rem 0 .3rem; } th { text-align: left; font-weight: 500; color: var(--faint); font-size: .82rem; }
td, th { padding: .22rem .9rem .22rem 0; border-bottom: 1px solid var(--line); vertical-align: middle; } td.n, th.n { text-align: right; } td:first-child { white-space: nowrap; } tr.hit td { font-weight: 650; }
.scroll { overflow-x: auto; }
.bar { display: inline-block; position: relative; width: 7rem; height: .8rem; vertical-align: middle; background: linear-gradient(var(--line), var(--line)) var(--zero, 0) 0 / 1px 100% no-repeat; }
.bar i { position: absolute; top: .1rem; bottom: .1rem; border-radius: 1px; }
.bar i.p { background: var(--pos); } .bar i.m { background: var(--neg); } .bar i.k { background: var(--forward); }
.neuron { border-left: 3px solid var(--line); padding: .1rem 0 .1rem 1rem; margin-top: 1.1rem; font-size: .95rem; } .neuron .sum { font-variant-numeric: tabular-nums; line-height: 1.9; }
.notes { font-size: .88rem; color: var(--faint); padding-left: 1.1rem; margin: .8rem 0 0; }
dl.words { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: .6rem 0; font-size: .95rem; } dl.words dd { margin: 0; } dl.words math { font-size: 1.05rem; }
details { border: 1px solid var(--line); border-radius: .8rem; padding: .7rem 1.3rem; background: var(--card); } summary { cursor: pointer; font-weight: 600; }
pre { overflow: auto; max-height: 34rem; line-height: 1.5; tab-size: 2; }
.before-after { display: grid; grid-template-columns: max-content minmax(6rem, 26rem) max-content; gap: .35rem 1rem; align-items: center; margin: 1rem 0; font-size: .95rem; } .before-after div { background: var(--bad); height: 1rem; border-radius: 2px; } .before-after div.after { background: var(--good); }
mark { background: none; color: var(--good); font-weight: 650; }
#tip { position: fixed; z-index: 9; pointer-events: none; background: var(--ink); color: var(--paper); font-size: .82rem; line-height: 1.35; padding: .35rem .6rem; border-radius: .35rem; max-width: 20rem; display: none; font-variant-numeric: tabular-nums; }
#map { width: 100%; height: auto; margin-top: 1rem; } #map text { font: 12px ui-sans-serif, system-ui, sans-serif; fill: var(--faint); } #map text.t { fill: var(--ink); font-weight: 600; font-size: 13px; } #map .f { stroke: var(--forward); fill: none; } #map .b { stroke: var(--backward); fill: none; } #map .frame { fill: color-mix(in srgb, var(--ink) 4%, transparent); stroke: var(--line); } #map .ink { fill: var(--ink); } #map .fh { fill: var(--forward); } #map .bh { fill: var(--backward); } #map text.fw { fill: var(--forward); } #map text.bw { fill: var(--backward); }
footer { padding-bottom: 4rem; color: var(--faint); font-size: .88rem; }
@media (max-width: 46rem) { .hero { grid-template-columns: 1fr; gap: 1.2rem; } .chain { grid-template-columns: 1fr; } h1 { font-size: 1.9rem; } article { padding: 1rem; } }
@media print { :root { color-scheme: light; --paper: #fff; --card: #fff; } body { font-size: 10.5pt; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } section { margin: 1.6rem 0; } nav, #tip { display: none !important; } article, figure, table { break-inside: avoid; } pre { max-height: none; white-space: pre-wrap; font-size: 7pt; } main, header, footer { max-width: none; padding: 0; } }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
`;
