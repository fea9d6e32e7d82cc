import * as tf from '@tensorflow/tfjs-core';
import { BackendError, ConfigError } from '../errors.js';
import { BACKEND_NAMES, type BackendName } from '../op/define-op.js';
import { canReadSync } from './can-read-sync.js';
import { environmentVariable, firstLine, isNode } from './environment.js';
import { type BackendInfo, type BackendOptions, type StartedBackend, StartFailure } from './info.js';
import { startCpu } from './start-cpu.js';
import { startTensorflow } from './start-tensorflow.js';
import { startWasm } from './start-wasm.js';
import { startWebgpu } from './start-webgpu.js';

const VARIABLE = 'BYTELM_BACKEND';
let queue: Promise<unknown> = Promise.resolve();

/**
 * Starts a tfjs backend and makes it the active one. tfjs has one active backend per process: choose once, before making tensors.
 *
 * `'auto'` takes the fastest that starts: `tensorflow`, `webgpu` (unless emulated on the CPU), `wasm`, `cpu` in Node; `webgpu`, `wasm`,
 * `cpu` in a browser. The environment variable `BYTELM_BACKEND` decides where `'auto'` would. A name given here wins over it and
 * never falls back.
 *
 * The backends are optional peer dependencies: `@tensorflow/tfjs-node-gpu` or `@tensorflow/tfjs-node`; `@tensorflow/tfjs-backend-webgpu` and
 * in Node `webgpu`; `@tensorflow/tfjs-backend-wasm`; `@tensorflow/tfjs-backend-cpu`.
 *
 * @returns what was started, on which device, and why that one.
 * @throws BackendError when it cannot be started; the message says what was tried.
 * @throws ConfigError on an unknown name.
 * @example
 * const { name, device, reason } = await initBackend();
 * console.log(`${name} on ${device} (${reason})`);
 */
export function initBackend(name: BackendName | 'auto' = 'auto', options: BackendOptions = {}): Promise<BackendInfo> {
  // One after the other: two starts at a time would race for tfjs' active backend.
  const next = queue.then(() => init(name, options));
  queue = next.catch(() => undefined);
  return next;
}

async function init(asked: BackendName | 'auto', options: BackendOptions): Promise<BackendInfo> {
  checkName(asked, 'initBackend');
  if (asked !== 'auto') return startNamed(asked, 'asked for by name', options);
  const variable = environmentVariable(VARIABLE);
  if (variable && variable !== 'auto') return startNamed(checkName(variable, VARIABLE), `${VARIABLE}=${variable}`, options);

  const order: BackendName[] = isNode() ? ['tensorflow', 'webgpu', 'wasm', 'cpu'] : ['webgpu', 'wasm', 'cpu'];
  const passed: string[] = [];
  for (const name of order) {
    try {
      const started = await start(name, options, !options.allowSoftware);
      return await activate(name, started, passed.length ? `first that starts; ${passed.join('; ')}` : 'first choice');
    } catch (e) {
      passed.push(`${name}: ${firstLine(e)}`);
    }
  }
  throw new BackendError(
    `[initBackend] auto: no backend starts. Tried: ${passed.join('; ')}. Hint: npm install @tensorflow/tfjs-backend-wasm (or another of the peer dependencies).`,
  );
}

function checkName(name: string, where: string): BackendName {
  if (name !== 'auto' && !BACKEND_NAMES.includes(name as BackendName)) {
    throw new ConfigError(`[${where}] the backend must be one of ${BACKEND_NAMES.join(', ')}, auto; it is '${name}'. Hint: check the spelling.`);
  }
  return name as BackendName;
}

async function startNamed(name: BackendName, reason: string, options: BackendOptions): Promise<BackendInfo> {
  try {
    return await activate(name, await start(name, options, false), reason);
  } catch (e) {
    const hint = e instanceof StartFailure ? ` Hint: ${e.hint}.` : '';
    throw new BackendError(`[initBackend] ${name}: ${firstLine(e)}. Tried: ${name}, ${reason}.${hint}`, { cause: e });
  }
}

function start(name: BackendName, options: BackendOptions, refuseSoftware: boolean): Promise<StartedBackend> {
  if (name === 'tensorflow') return startTensorflow();
  if (name === 'webgpu') return startWebgpu(options, refuseSoftware);
  if (name === 'wasm') return startWasm(options);
  return startCpu();
}

async function activate(name: BackendName, started: StartedBackend, reason: string): Promise<BackendInfo> {
  if (!(await tf.setBackend(name))) throw new StartFailure('tfjs refused to make it the active backend', 'see the messages above');
  await tf.ready();
  return { isSoftware: false, limits: {}, features: [], ...started, name, reason, canReadSync: canReadSync() };
}
