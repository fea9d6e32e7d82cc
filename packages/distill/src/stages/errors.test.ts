import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { HierarchicalLM, LinearHead, ResidualStack, SequenceLM } from '@bytelm/core';
import { useBackend } from '@bytelm/core/testing';
import { SpacePatcher } from '@bytelm/patching';
import { batchOf, byteRows, CompressedRows, evaluateByteified, PUBLISHED_STAGE1, PUBLISHED_STAGE2, Stage1, Stage2, SubwordVocabulary, teacherOf, TokenRows, tokensInMemory, type TokenizerJson } from '../index.js';
import { bolmoFixtures, TINY, tinyStudent, tinyTeacher, toyVocabulary as vocabulary } from './tiny-models.test-util.js';

describe('stages refuse', () => {
  beforeAll(() => useBackend('cpu'));

  it('students and teachers that do not fit', () => {
    const student = tinyStudent(TINY, 1);
    const teacher = teacherOf(tinyTeacher(TINY, 2), 'olmo-tiny');
    const small = teacherOf(tinyTeacher({ ...TINY, tokens: 300 }, 2), 'olmo-small');
    expect(() => new Stage1(student, small, { vocabulary })).toThrow('olmo-small gives logits for 300 tokens, tokenizer.json has 340.');
    const wide = teacherOf(tinyTeacher({ ...TINY, dModel: 32 }, 2), 'olmo-wide');
    expect(() => new Stage1(student, wide, { vocabulary })).toThrow('[Stage1] the main network has width 16, the hidden states of olmo-wide 32');
    expect(() => new Stage1(student, wide, { vocabulary, oracle: false, losses: { ...PUBLISHED_STAGE1, weights: { ...PUBLISHED_STAGE1.weights, encoder: 0 } } })).not.toThrow();
    expect(() => new Stage1(student, teacher, { vocabulary, encoderBlocks: 4 })).toThrow('encoderBlocks: expected a whole number from 0 to 3, got 4');
    const { embed, head, ...parts } = student.parts;
    const plain = new HierarchicalLM({ ...parts, chunker: new SpacePatcher(), embed, head: new LinearHead({ vocabSize: 260, dModel: 16 }) });
    expect(() => new Stage1(plain, teacher, { vocabulary })).toThrow('[Stage1] student: its head emits no boundaries, so the likelihood of a patch would be that of its bytes alone. Hint: a BoundaryEmittingLM, or the option bytesOnly.');
    expect(() => new Stage2(plain)).toThrow('[Stage2] student: its head emits no boundaries');
    expect(() => new Stage1(plain, teacher, { vocabulary, bytesOnly: true })).toThrow('its chunker SpacePatcher gives no probabilities that a boundary loss could train');
    expect(() => new Stage2(student, { losses: PUBLISHED_STAGE1 })).toThrow('[Stage2] losses: expected weight 0 for `encoder` and `distill`');
    const whole = { ...PUBLISHED_STAGE2, weights: { ...PUBLISHED_STAGE2.weights, byteDistill: 1 } };
    expect(() => new Stage2(student, { losses: whole })).toThrow('[Stage2] losses: `byteDistill` has a weight, but there is no teacher to learn from. Hint: the option `teacher`.');
    expect(() => new Stage2(student, { losses: whole, teacher: { model: small, vocabulary } })).toThrow('olmo-small gives logits for 300 tokens, tokenizer.json has 340.');
    expect(() => new Stage2(student, { trainable: () => false }).trainable()).toThrow('[Stage2] trainable: it leaves no parameter');
    const odd = new SequenceLM({ embed, head, backbone: Object.assign(Object.create(ResidualStack.prototype), { dModel: 16, parameters: () => new Map(), streams: undefined }) });
    expect(() => teacherOf(odd)).toThrow('[teacherOf] ResidualStack: expected a model of blocks over one residual stream');
  });

  it('batches without rows, or in other ids', async () => {
    const stage = new Stage2(tinyStudent(TINY, 1));
    await expect(stage.lossAndGrads({ ids: new Int32Array(4), batch: 1, length: 4 })).rejects.toThrow('[Stage2] batch: it has no `rows` (bytes that know their patches). Hint: take batches of TokenRows.');
    const other = byteRows([[256, 68]], { vocabulary, student: { offset: 0, bos: 254, eos: 254, pad: 255, numIds: 256 } });
    await expect(stage.lossAndGrads(batchOf(other))).rejects.toThrow('[Stage2] batch: rows are in 256 ids, the student has 260.');
    const bad = { next: async () => ({ ids: new Int32Array(2), batch: 1, length: 2 }), state: () => 0, restore: () => {} };
    await expect(new CompressedRows(bad, { start: 1, target: 2, steps: 1 }).next()).rejects.toThrow('[CompressedRows] the batches have no `rows`.');
  });

  it('a tokenizer with fewer tokens than its ids, no tokens to evaluate', async () => {
    const student = tinyStudent(TINY, 1);
    await expect(evaluateByteified(student, tokensInMemory([]), { vocabulary })).rejects.toThrow('[evaluateByteified] expected tokens, got none.');
    const json = JSON.parse(readFileSync(join(bolmoFixtures, 'toy_tokenizer/tokenizer.json'), 'utf8')) as TokenizerJson;
    await expect(evaluateByteified(student, tokensInMemory([900]), { vocabulary: new SubwordVocabulary(json) })).rejects.toThrow('has no token 900');
    expect(() => new TokenRows(tokensInMemory([1, 2]), { vocabulary, patches: 4, batch: 1 })).toThrow('[TokenRows] expected at least one window of 3 tokens, got 2.');
    expect(() => new TokenRows(tokensInMemory([1, 2]), { vocabulary, patches: 1, batch: 1 })).toThrow('[TokenRows] patches: expected a whole number from 2');
    expect(PUBLISHED_STAGE2.weights).toMatchObject({ encoder: 0, distill: 0 });
  });
});
