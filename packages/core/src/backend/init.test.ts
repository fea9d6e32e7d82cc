import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BackendError, ConfigError } from '../errors.js';
import { initBackend } from './init.js';

const failure = (p: Promise<unknown>) => p.then(() => expect.unreachable('should have failed'), (e: Error) => e);

describe('initBackend where little is there', () => {
  beforeEach(() => {
    vi.stubEnv('BYTELM_BACKEND', '');
    // No native library can be loaded: neither libtensorflow nor Dawn.
    vi.spyOn(process, 'dlopen').mockImplementation(() => {
      throw new Error('native code is off');
    });
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });

  it('auto goes down to wasm and says what was passed over', async () => {
    const info = await initBackend();
    expect(info.name).toBe('wasm');
    expect(info.reason).toMatch(/^first that starts; tensorflow: .*tfjs-node.*; webgpu: .*native code is off/s);
    expect(tf.getBackend()).toBe('wasm');
  });

  it('auto passes over an adapter that is emulated on the CPU', async () => {
    vi.stubGlobal('navigator', { gpu: { requestAdapter: async () => ({ info: { isFallbackAdapter: true, description: 'llvmpipe' } }) } });
    expect((await initBackend('auto')).reason).toContain('webgpu: the only adapter is emulated on the CPU (llvmpipe)');
  });

  it('BYTELM_BACKEND decides for auto only', async () => {
    vi.stubEnv('BYTELM_BACKEND', 'cpu');
    expect(await initBackend()).toMatchObject({ name: 'cpu', reason: 'BYTELM_BACKEND=cpu' });
    expect(await initBackend('wasm')).toMatchObject({ name: 'wasm', reason: 'asked for by name' });
  });

  it('a named backend never falls back: the error says what was tried and what to do', async () => {
    const tensorflow = await failure(initBackend('tensorflow'));
    expect(tensorflow).toBeInstanceOf(BackendError);
    expect(tensorflow.message).toMatch(/^\[initBackend\] tensorflow: .*tfjs-node: .*Tried: tensorflow, asked for by name\. Hint: npm install @tensorflow\/tfjs-node/s);
    vi.stubGlobal('navigator', { gpu: { requestAdapter: async () => null } });
    const webgpu = await failure(initBackend('webgpu'));
    expect(webgpu.message).toMatchInlineSnapshot(
      `"[initBackend] webgpu: no adapter. Tried: webgpu, asked for by name. Hint: install a GPU driver, or a software one: Mesa's lavapipe (24 or later), package \`mesa-vulkan-drivers\`."`,
    );
  });

  it('refuses unknown names', async () => {
    expect(await failure(initBackend('cuda' as never))).toBeInstanceOf(ConfigError);
    vi.stubEnv('BYTELM_BACKEND', 'wsam');
    expect((await failure(initBackend())).message).toBe("[BYTELM_BACKEND] the backend must be one of cpu, wasm, webgpu, tensorflow, auto; it is 'wsam'. Hint: check the spelling.");
  });
});
