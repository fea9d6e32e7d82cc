import { readingLine } from '../../../shared/src/page/markup.js';
import { LinePlot } from '../draw/line-plot.js';
import { find, showProblem, toggleButton } from '../dom.js';
import type { WorkerClient } from '../worker-client.js';

/** Train an H-Net from nothing on a pasted text, and watch its boundaries move. */
export function trainTab(panel: HTMLElement, worker: WorkerClient): void {
  panel.innerHTML = `
    <label>Text to learn from <textarea id="train-text" spellcheck="false"></textarea></label>
    <div class="controls">
      <label>Steps <input id="steps" type="number" min="10" max="2000" value="150" /></label>
      <label>Sentence to watch <input id="probe" size="34" value="the moon is shining on the sea" /></label>
      <button class="main" id="train"></button>
    </div>
    <p class="soft" id="train-rate" role="status">A new H-Net of two levels starts with random weights; nothing is kept.</p>
    <section class="plots"><div id="loss"></div><div id="chunk-size"></div></section>
    <section><h2>The sentence as the model cuts it</h2><div id="probe-row"></div></section>`;
  const text = find<HTMLTextAreaElement>(panel, '#train-text');
  const rate = find<HTMLElement>(panel, '#train-rate');
  const row = find<HTMLElement>(panel, '#probe-row');
  void fetch('data/verse.txt')
    .then((r) => (r.ok ? r.text() : ''))
    .then((sample) => {
      if (!text.value) text.value = sample.slice(0, 20_000);
    });
  toggleButton(find(panel, '#train'), { start: 'Train', stop: 'Stop' }, async (signal) => {
    const steps = Number(find<HTMLInputElement>(panel, '#steps').value);
    const loss = new LinePlot(find(panel, '#loss'), 'bits per byte', steps);
    const size = new LinePlot(find(panel, '#chunk-size'), 'bytes per chunk', steps);
    rate.textContent = 'preparing …';
    row.replaceChildren();
    try {
      for await (const event of worker.run('train', { text: text.value, steps, probe: find<HTMLInputElement>(panel, '#probe').value, seed: 0 }, signal)) {
        if (event.type === 'model') rate.textContent = `${(event.parameters / 1e3).toFixed(0)} thousand parameters, ${event.bytes} bytes of text`;
        else if (event.type === 'probe') row.innerHTML = `${readingLine(event.row)}<p class="soft">after ${event.step} steps</p>`;
        else {
          loss.add(event.step, event.bitsPerByte);
          size.add(event.step, event.bytesPerChunk);
          rate.textContent = `step ${event.step} of ${steps}, ${event.bytesPerSecond.toFixed(0)} bytes per second`;
        }
      }
      if (signal.aborted) rate.textContent += ', stopped';
    } catch (e) {
      showProblem(row, e);
    }
  });
}
