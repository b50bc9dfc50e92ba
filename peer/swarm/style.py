"""How the page of a report looks, in light and in dark surroundings. Pure."""

from typing import Final

STYLE: Final = """
:root { --paper: #fbfbfa; --card: #fff; --ink: #1d2129; --dim: #626a76; --rule: #e2e4e8; --shade: #eef1f5;
  --c0: #2563c9; --c1: #d9730d; --c2: #b4232f; --good: #17744a; --bad: #b4232f; --warn: #97600a; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171c; --card: #1c2027; --ink: #e7e9ec; --dim: #9aa3af; --rule: #323843; --shade: #252b35;
    --c0: #6aa5f8; --c1: #f0a04b; --c2: #f0707a; --good: #5cc795; --bad: #f0707a; --warn: #e5b35a; }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 28px 20px 60px; max-width: 1200px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
h1 { font-size: 24px; margin: 0 0 6px; overflow-wrap: anywhere }
h2, summary { font-size: 18px; font-weight: 600; margin: 34px 0 12px }
summary { cursor: pointer }
header p { margin: 0; color: var(--dim) }
.note { margin: 14px 0 0; padding: 9px 14px; background: var(--card); border: 1px solid var(--rule);
  border-left: 4px solid var(--dim); border-radius: 4px }
.note.good { border-left-color: var(--good) } .note.good b { color: var(--good) }
.note.bad { border-left-color: var(--bad) } .note.bad b { color: var(--bad) }
.note.warn { border-left-color: var(--warn) } .note.warn b { color: var(--warn) }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(122px, 1fr)); gap: 10px; margin-top: 20px }
.tiles div { padding: 12px 14px; background: var(--card); border: 1px solid var(--rule); border-radius: 6px;
  color: var(--dim); font-size: 13px }
.tiles b { display: block; color: var(--ink); font-size: 19px; line-height: 1.35; white-space: nowrap;
  font-variant-numeric: tabular-nums }
.tiles .bad b { color: var(--bad) }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr)); gap: 14px }
figure { margin: 0; padding: 12px 12px 6px; background: var(--card); border: 1px solid var(--rule); border-radius: 6px }
figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 2px 14px; font-weight: 600;
  font-size: 14px; padding: 0 4px 6px }
figcaption small { display: flex; gap: 12px; font-weight: 400; font-size: 13px; color: var(--dim) }
figcaption i { display: inline-block; width: 12px; height: 3px; margin: 0 5px 4px 0; vertical-align: middle }
i.c0 { background: var(--c0) } i.c1 { background: var(--c1) } i.c2 { background: var(--c2) }
svg { display: block; width: 100%; height: auto; font-size: 12px }
svg text { fill: var(--dim) }
svg .y, .n { text-anchor: end } svg .x { text-anchor: middle }
.grid { stroke: var(--rule); stroke-width: 1 } .axis { stroke: var(--dim); stroke-width: 1 }
.ramp { fill: var(--shade) } .mark { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 3 3; fill: none }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }
.line.c0 { stroke: var(--c0) } .line.c1 { stroke: var(--c1) } .line.c2 { stroke: var(--c2) }
.bar.c0 { fill: var(--c0) }
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--rule); border-radius: 6px }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums }
th, td { padding: 5px 11px; text-align: right; white-space: nowrap; border-top: 1px solid var(--rule) }
th { color: var(--dim); font-weight: 600; border-top: 0 }
.w { text-align: left; white-space: normal } td.w:first-child { white-space: nowrap }
td em { color: var(--bad); font-style: normal; display: inline-block; min-width: 24em }
code { font: 13px ui-monospace, SFMono-Regular, Menlo, monospace }
section > p { color: var(--dim) }
"""
