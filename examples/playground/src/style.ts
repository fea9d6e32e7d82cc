import { PAGE_STYLE } from '../../shared/src/page/page-style.js';

/** What the page adds to the style that all chunk pages share. */
const OWN = /* css */ `
button, input, select, textarea { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .4rem .7rem; max-width: 100%; }
button { cursor: pointer; } button:disabled { opacity: .5; cursor: default; } button.main { background: var(--s1); border-color: var(--s1); color: var(--paper); font-weight: 600; }
:focus-visible { outline: 2px solid var(--ink); outline-offset: 2px; }
textarea { width: 100%; min-height: 5.5rem; font: .98rem/1.5 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; resize: vertical; }
label { color: var(--soft); font-size: .88rem; } label > * { display: block; margin-top: .2rem; color: var(--ink); }
.controls { display: flex; flex-wrap: wrap; gap: .7rem 1rem; align-items: end; margin: .8rem 0; }
[role=tablist] { display: flex; flex-wrap: wrap; gap: .3rem; border-bottom: 1px solid var(--line); margin: 0 0 1rem; }
[role=tab] { border: 0; background: none; border-radius: .5rem .5rem 0 0; color: var(--soft); border-bottom: 3px solid transparent; }
[role=tab][aria-selected=true] { color: var(--ink); border-bottom-color: var(--s1); font-weight: 600; }
#status { color: var(--soft); margin: 0 0 1rem; } .problem { color: var(--s2); font-weight: 600; } .soft { color: var(--soft); font-size: .88rem; margin: 0; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; font: 1.05rem/2.3 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; min-height: 4.6em; margin: 0; }
.text .given { opacity: .62; } .text .open { border-left: 2px dashed var(--s1); padding-left: .18em; }
svg.plot { width: 100%; height: 12rem; display: block; } svg.plot path { fill: none; stroke: var(--s1); stroke-width: 2; vector-effect: non-scaling-stroke; } svg.plot .grid { stroke: var(--line); stroke-width: 1; } svg.plot text { fill: var(--soft); font-size: 11px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem; }
`;

export function addStyle(): void {
  const style = document.createElement('style');
  style.textContent = PAGE_STYLE + OWN;
  document.head.append(style);
}
