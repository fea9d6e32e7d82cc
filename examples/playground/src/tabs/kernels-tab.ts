import { escapeHtml } from '../../../shared/src/page/markup.js';
import { find, showProblem, toggleButton } from '../dom.js';
import type { Measured, Started } from '../messages.js';
import type { WorkerClient } from '../worker-client.js';

/** Our kernels against tfjs' own ops on the visitor's device. */
export function kernelsTab(panel: HTMLElement, worker: WorkerClient, { backend, device }: Started): void {
  panel.innerHTML = `
    <p>Hand-written ${backend === 'webgpu' ? 'WGSL' : backend === 'wasm' ? 'WebAssembly' : 'kernels'} on <strong id="device">${escapeHtml(device)}</strong> against the same ops composed of TensorFlow.js' own.</p>
    <div class="controls"><button class="main" id="measure"></button></div>
    <section class="scroll"><table id="kernels"><thead><tr><th scope="col">op</th><th scope="col">size</th><th scope="col">ms</th><th scope="col">composed, ms</th><th scope="col">times faster</th><th scope="col">GFLOP/s</th><th scope="col">GB/s</th></tr></thead><tbody></tbody></table><div id="kernel-problem"></div></section>`;
  const body = find<HTMLElement>(panel, 'tbody');
  toggleButton(find(panel, '#measure'), { start: 'Measure', stop: 'Stop' }, async (signal) => {
    body.replaceChildren();
    find(panel, '#kernel-problem').replaceChildren();
    try {
      for await (const m of worker.run('measure', {}, signal)) body.insertAdjacentHTML('beforeend', tableRow(m));
    } catch (e) {
      showProblem(find(panel, '#kernel-problem'), e);
    }
  });
}

const tableRow = ({ op, size, ownMs, stockMs, gflops, gbps }: Measured): string =>
  `<tr><th scope="row">${escapeHtml(op)}</th><td>${escapeHtml(size)}</td><td>${ownMs.toFixed(2)}</td><td>${stockMs.toFixed(2)}</td><td>${(stockMs / ownMs).toFixed(1)}</td><td>${gflops === null ? '–' : gflops.toFixed(1)}</td><td>${gbps.toFixed(1)}</td></tr>`;
