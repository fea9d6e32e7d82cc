/** Style sheet of the chunks page: system fonts, light and dark, nothing loaded from anywhere. */
export const PAGE_STYLE = /* css */ `
:root { color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d2430; --soft: #667085; --line: #e3e1da; --faint: #f1efe8;
  --s1: #2563c9; --s2: #c2570c; --s3: #1b7f53; --s1-tint: #e6eefb; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171c; --card: #1b1f26; --ink: #e7e9ee; --soft: #9aa3b2; --line: #2e343e; --faint: #232831;
  --s1: #7fb0ff; --s2: #f5a25d; --s3: #63d3a0; --s1-tint: #1d2c47; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: clamp(1rem, 4vw, 3rem) clamp(.9rem, 4vw, 2rem) 4rem; }
h1 { font-size: clamp(1.5rem, 4.5vw, 2.2rem); line-height: 1.15; letter-spacing: -.02em; margin: 0 0 .5rem; text-wrap: balance; }
h2 { font-size: 1.1rem; margin: 0 0 .75rem; }
.lead { color: var(--soft); max-width: 46rem; margin: 0 0 1.5rem; }
.facts { display: flex; flex-wrap: wrap; gap: .6rem; margin: 0 0 1.5rem; padding: 0; }
.facts div { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .45rem .8rem; }
.facts dt { color: var(--soft); font-size: .75rem; } .facts dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .9rem; padding: clamp(.9rem, 3vw, 1.5rem); margin: 0 0 1.25rem; }
.reading { font: 1.05rem/2.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; margin: 0 0 1rem; overflow-wrap: anywhere; }
.chunk { background: var(--s1-tint); border-left: 2px solid var(--s1); border-radius: .15rem .35rem .35rem .15rem; padding: .16em .18em .2em; margin-right: .14em; white-space: pre-wrap; box-decoration-break: clone; -webkit-box-decoration-break: clone; }
.group { border-bottom: 3px solid var(--s2); padding-bottom: .28em; margin-right: .3em; border-radius: 0 0 .2rem .2rem; box-decoration-break: clone; -webkit-box-decoration-break: clone; }
.group.g3 { border-bottom-color: var(--s3); padding-bottom: .6em; }
.odd { color: var(--soft); font-size: .72em; } .blank { text-decoration: underline dotted var(--soft); text-underline-offset: .28em; }
.bytes { list-style: none; display: flex; flex-wrap: wrap; row-gap: .9rem; margin: 0; padding: 0; }
.byte { width: 1.7rem; display: flex; flex-direction: column; align-items: stretch; text-align: center; border-radius: .3rem; cursor: default; }
.byte:focus-visible, .byte[aria-current] { outline: 2px solid var(--ink); outline-offset: 1px; z-index: 1; }
.byte:hover { background: var(--faint); }
.hex { font: .62rem/1.3 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; color: var(--soft); }
.glyph { font: 1rem/1.5 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; border-top: 1px solid var(--line); }
.glyph.odd { font-size: .68rem; line-height: 2.2; }
.start .glyph { box-shadow: inset 2px 0 0 var(--s1); } .start.d2 .glyph { box-shadow: inset 3px 0 0 var(--s2); } .start.d3 .glyph { box-shadow: inset 4px 0 0 var(--s3); }
.stage { --c: var(--s1); height: 1.05rem; margin: .16rem .12rem 0; border: 1px solid var(--line); border-radius: .22rem;
  background: linear-gradient(to top, color-mix(in srgb, var(--c) 38%, transparent) var(--p), transparent var(--p)); }
.s2 { --c: var(--s2); } .s3 { --c: var(--s3); } .stage.s2 { border-radius: .55rem; } .stage.s3 { border-radius: 0; }
.stage.on { background: var(--c); border-color: var(--c); }
.stage.unseen { border: 0; background: linear-gradient(var(--line), var(--line)) center / 100% 1px no-repeat; margin-inline: 0; }
.curve { position: relative; height: 2.6rem; margin: .3rem 0 0; display: flex; align-items: flex-end; border-bottom: 1px solid var(--line); }
.curve b { flex: 1; margin: 0 .18rem; background: var(--soft); opacity: .45; border-radius: .12rem .12rem 0 0; } .curve.above b { background: var(--s2); opacity: 1; }
.curve i { position: absolute; inset-inline: 0; border-top: 1px dashed var(--s2); }
.key { display: inline-block; --c: var(--s1); width: .8rem; height: .8rem; border-radius: .2rem; background: var(--c); margin-right: .45rem; vertical-align: -.05rem; }
.key.s2 { --c: var(--s2); border-radius: .5rem; } .key.s3 { --c: var(--s3); border-radius: 0; } .key.half { background: linear-gradient(to top, color-mix(in srgb, var(--s1) 38%, transparent) 55%, transparent 55%); border: 1px solid var(--line); }
.legend { display: flex; flex-wrap: wrap; gap: .35rem 1.2rem; color: var(--soft); font-size: .88rem; padding: 0; margin: 0 0 1.25rem; list-style: none; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; margin: 0 0 1rem; }
th, td { text-align: right; padding: .3rem .9rem .3rem 0; white-space: nowrap; } th:first-child { text-align: left; font-weight: 600; } thead th { color: var(--soft); font-weight: 500; border-bottom: 1px solid var(--line); }
summary { cursor: pointer; color: var(--soft); margin-bottom: .8rem; } summary:focus-visible { outline: 2px solid var(--ink); outline-offset: 2px; }
.detail { position: sticky; bottom: 0; min-height: 2.2em; background: var(--card); border-top: 1px solid var(--line); margin: 1rem 0 0; padding: .45rem 0 0; color: var(--soft); font-size: .9rem; font-variant-numeric: tabular-nums; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: .92rem/1.6 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; margin: 0; }
figure { margin: 0; } figure svg { max-width: 100%; height: auto; background: #fff; border-radius: .5rem; } figcaption { color: var(--soft); font-size: .9rem; margin-top: .5rem; }
footer { color: var(--soft); font-size: .85rem; }
@media (max-width: 30rem) { .byte { width: 1.45rem; } }
@media print { section { break-inside: avoid; } .detail { display: none; } }
`;

/** Moves the focus by byte and by chunk and says what the byte under it is; without it the page only lacks that. */
export const PAGE_SCRIPT = /* js */ `
for (const list of document.querySelectorAll('.bytes')) {
  const cells = [...list.children], detail = list.parentElement.querySelector('.detail');
  let at = 0;
  const show = (i) => { detail.textContent = cells[i].getAttribute('aria-label'); };
  const move = (i) => {
    i = Math.max(0, Math.min(cells.length - 1, i));
    cells[at].tabIndex = -1; at = i; cells[i].tabIndex = 0; cells[i].focus();
  };
  const chunk = (step) => { let i = at + step; while (i > 0 && i < cells.length - 1 && !cells[i].classList.contains('start')) i += step; return i; };
  const rows = (step) => {
    const from = cells[at].getBoundingClientRect();
    let best = at, near = Infinity;
    for (let i = at + step; i >= 0 && i < cells.length; i += step) {
      const r = cells[i].getBoundingClientRect(), down = Math.abs(r.top - from.top);
      if (down > 2 && down * 10 + Math.abs(r.left - from.left) < near) { near = down * 10 + Math.abs(r.left - from.left); best = i; }
    }
    return best;
  };
  const keys = { ArrowRight: () => at + 1, ArrowLeft: () => at - 1, ArrowDown: () => rows(1), ArrowUp: () => rows(-1), PageDown: () => chunk(1), PageUp: () => chunk(-1), Home: () => 0, End: () => cells.length - 1 };
  list.addEventListener('keydown', (e) => { const to = keys[e.key]; if (to) { e.preventDefault(); move(to()); } });
  list.addEventListener('focusin', (e) => { const i = cells.indexOf(e.target.closest('.byte')); if (i >= 0) { cells[at].tabIndex = -1; at = i; cells[i].tabIndex = 0; show(i); } });
  list.addEventListener('pointerover', (e) => { const i = cells.indexOf(e.target.closest('.byte')); if (i >= 0) show(i); });
}
`;
