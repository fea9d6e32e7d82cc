import { byteGrid, escapeHtml, readingLine } from '../../../shared/src/page/markup.js';
import { summarize } from '../../../shared/src/page/chunk-row.js';
import { find, showProblem } from '../dom.js';
import type { CutRow } from '../messages.js';
import type { WorkerClient } from '../worker-client.js';

const SAMPLE = 'It was the best of times, it was the worst of times.';
const LONGEST = 400;
const PAUSE_MS = 350;

/** Type a text, see where every model and every rule cuts it. */
export function chunksTab(panel: HTMLElement, worker: WorkerClient): void {
  panel.innerHTML = `
    <label>Text <textarea id="cut-text" maxlength="${LONGEST}" spellcheck="false">${SAMPLE}</textarea></label>
    <p class="soft">Cut as you type, up to ${LONGEST} characters. Try leaving out the blanks, code, another language. Below each byte: how sure the model is that a chunk starts there, or how uncertain its entropy model was about it.</p>
    <div id="cut-rows" aria-live="polite"></div>`;
  const text = find<HTMLTextAreaElement>(panel, '#cut-text');
  const rows = find<HTMLElement>(panel, '#cut-rows');
  let running: AbortController | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const cut = async () => {
    running?.abort();
    const controller = (running = new AbortController());
    if (!text.value) return rows.replaceChildren();
    try {
      let count = 0;
      for await (const row of worker.run('cut', { text: text.value }, controller.signal)) {
        if (controller.signal.aborted) return;
        // In place: what was open stays where it was while new rows come.
        const section = rowSection(row, count);
        const old = rows.children[count];
        if (old) old.replaceWith(keepOpen(section, old));
        else rows.append(section);
        count++;
      }
    } catch (e) {
      showProblem(rows, e);
    }
  };
  text.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(() => void cut(), PAUSE_MS);
  });
  void cut();
}

function rowSection(row: CutRow, index: number): HTMLElement {
  const section = document.createElement('section');
  section.dataset.by = row.by;
  const stages = summarize(row).map((s) => `${s.bytesPerChunk.toFixed(2)} bytes per chunk, longest ${s.longestBytes}`);
  section.innerHTML = `<h2>${escapeHtml(row.by)}</h2>${readingLine(row)}<p class="soft">${stages.join(' · ')} · ${Math.round(row.ms)} ms</p>${
    row.kind === 'model' ? `<details${index === 0 ? ' open' : ''}><summary>every byte</summary>${byteGrid(row, index)}</details>` : ''
  }`;
  return section;
}

function keepOpen(section: HTMLElement, old: Element): HTMLElement {
  const [now, before] = [section.querySelector('details'), old.querySelector('details')];
  if (now && before) now.open = before.open;
  return section;
}
