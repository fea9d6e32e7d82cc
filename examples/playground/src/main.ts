import type { BackendName } from '@bytelm/core';
import { find, showProblem } from './dom.js';
import type { Started } from './messages.js';
import { addStyle } from './style.js';
import { chunksTab } from './tabs/chunks-tab.js';
import { generateTab } from './tabs/generate-tab.js';
import { kernelsTab } from './tabs/kernels-tab.js';
import { tabList } from './tabs/tab-list.js';
import { trainTab } from './tabs/train-tab.js';
import { WorkerClient } from './worker-client.js';

addStyle();
void open();

async function open(): Promise<void> {
  const status = find<HTMLElement>(document, '#status');
  const worker = new WorkerClient();
  try {
    const started = await start(worker);
    status.textContent = describe(started);
    const fill: Record<string, (panel: HTMLElement) => void> = {
      'panel-chunks': (panel) => chunksTab(panel, worker),
      'panel-generate': (panel) => generateTab(panel, worker, started.models),
      'panel-train': (panel) => trainTab(panel, worker),
      'panel-kernels': (panel) => kernelsTab(panel, worker, started),
    };
    // A panel is made when it is first shown.
    const show = (panel: HTMLElement) => {
      fill[panel.id]?.(panel);
      delete fill[panel.id];
    };
    tabList(find(document, '[role=tablist]'), show);
    show(find(document, '[role=tabpanel]:not([hidden])'));
    document.body.dataset.ready = started.backend;
  } catch (e) {
    showProblem(status, e);
  }
  if ('serviceWorker' in navigator) await navigator.serviceWorker.register('service-worker.js').catch(() => {});
}

/** `?backend=wasm` chooses; without it WebGPU where there is a GPU, else WebAssembly. */
async function start(worker: WorkerClient): Promise<Started> {
  const backend = (new URL(location.href).searchParams.get('backend') ?? 'auto') as BackendName | 'auto';
  for await (const started of worker.run('start', { backend })) return started;
  throw new Error('[playground] the worker ended without starting a backend');
}

function describe({ backend, device, isSoftware, reason }: Started): string {
  if (backend === 'webgpu') return `Running with WebGPU on ${device}${isSoftware ? ', which is emulated: expect it to be slow' : ''}.`;
  const why = reason === 'asked for by name' ? 'asked for in the address' : 'gpu' in navigator ? 'no GPU that WebGPU can use was found' : 'this browser has no WebGPU';
  return `Running with ${backend === 'wasm' ? 'WebAssembly on the CPU' : 'plain JavaScript on the CPU'}: ${why}.`;
}
