import { recordStep } from '@bytelm/core/webgpu';
import { disposeState } from '@bytelm/core';
import { expectNoLeak, useBackend, wgslOf } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { DelimiterPatcher } from './delimiter-patcher.js';
import type { RulePatcher } from './patcher.js';
import { SpacePatcher } from './space-patcher.js';
import { StridedPatcher } from './strided-patcher.js';

const EOS = 2;
const TEXT = new TextEncoder().encode('Two  spaces, and cafés (naïve); 1 end. ');
const PATCHERS: Record<string, RulePatcher<any> & { onDevice: any }> = {
  spaces: new SpacePatcher({ documentEnds: [EOS] }),
  'spaces, four ids at most': new SpacePatcher({ maxChunkLength: 4 }),
  'a stride': new StridedPatcher({ stride: 3, documentEnds: [EOS] }),
  'a delimiter': new DelimiterPatcher({ delimiter: 36, documentEnds: [EOS] }),
};

describe('patchers on the device', () => {
  beforeAll(() => useBackend('webgpu'));

  it.each(Object.entries(PATCHERS))('%s: recorded steps cut where steps do, on top of a state, across documents', (_, patcher) =>
    expectNoLeak(async () => {
      const idsAt = (t: number) => Int32Array.of(4 + TEXT[t % TEXT.length]!, t % 13 === 7 ? EOS : 4 + TEXT[(5 * t + 3) % TEXT.length]!);
      const state = patcher.initState(2);
      for (let t = 0; t < 9; t++) await patcher.step({ ids: idsAt(t) }, state);
      const onDevice = patcher.onDevice.begin(structuredClone(state), 60);
      const ids = tf.tensor1d([0, 0], 'int32');
      const recorded = recordStep({ inputs: { ids }, run: () => ({ boundary: patcher.onDevice.step(undefined, onDevice, { ids }).boundary }) });
      expect(recorded.dispatches).toBe(1);
      for (let t = 9; t < 60; t++) {
        const { decision } = await patcher.step({ ids: idsAt(t) }, state);
        recorded.write('ids', idsAt(t));
        expect([...(await recorded.read('boundary'))], `id ${t}`).toEqual([...decision.boundary]);
      }
      expect(wgslOf(() => patcher.onDevice.step(undefined, onDevice, { ids }).boundary)).toMatchSnapshot();
      recorded.dispose();
      ids.dispose();
      disposeState(onDevice);
    }),
  );
});
