import { ChunkText } from '../draw/chunk-text.js';
import { find, showProblem, toggleButton } from '../dom.js';
import type { ShippedName } from '../messages.js';
import type { WorkerClient } from '../worker-client.js';

const TITLES: Record<ShippedName, string> = { hnet: 'H-Net', blt: 'BLT', bolmo: 'Bolmo' };

/** Let a model go on with a text, and see each chunk close. */
export function generateTab(panel: HTMLElement, worker: WorkerClient, models: readonly ShippedName[]): void {
  panel.innerHTML = `
    <label>Prompt <textarea id="prompt" spellcheck="false">The old man looked at the sea and</textarea></label>
    <div class="controls">
      <label>Model <select id="model">${models.map((m) => `<option value="${m}">${TITLES[m]}</option>`).join('')}</select></label>
      <label>Bytes <input id="max-bytes" type="number" min="1" max="2000" value="200" /></label>
      <label>Temperature <input id="temperature" type="number" min="0" max="2" step="0.1" value="0.7" /></label>
      <label>Seed <input id="seed" type="number" min="0" value="0" /></label>
      <button class="main" id="generate"></button>
    </div>
    <section><p class="text" id="generated" aria-live="off"></p><p class="soft" id="rate" role="status"></p></section>`;
  const value = (id: string) => find<HTMLInputElement>(panel, id).value;
  const place = find<HTMLElement>(panel, '#generated');
  const rate = find<HTMLElement>(panel, '#rate');
  toggleButton(find(panel, '#generate'), { start: 'Generate', stop: 'Stop' }, async (signal) => {
    const text = new ChunkText(place);
    rate.textContent = 'loading the model …';
    const input = { model: value('#model') as ShippedName, prompt: value('#prompt'), maxBytes: Number(value('#max-bytes')), temperature: Number(value('#temperature')), seed: Number(value('#seed')) };
    try {
      let bytes = 0;
      let chunks = 0;
      for await (const event of worker.run('generate', input, signal)) {
        if (event.type === 'prompt') text.prompt(event.bytes, event.starts);
        else if (event.type === 'boundary') {
          text.boundary(event.index, event.at);
          chunks++;
        } else if (event.type === 'byte') {
          text.push(event.byte);
          bytes++;
          rate.textContent = `${bytes} bytes, ${chunks} chunks, ${event.bytesPerSecond.toFixed(event.bytesPerSecond < 10 ? 1 : 0)} bytes per second`;
        } else rate.textContent += event.reason === 'aborted' ? ', stopped' : '';
      }
      if (signal.aborted) rate.textContent += ', stopped';
    } catch (e) {
      showProblem(place, e);
      rate.textContent = '';
    } finally {
      text.end();
    }
  });
}
