import { beforeAll, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { BoundaryEmittingLM, Module, SequenceContext, type ByteHead } from '@bytelm/core';
import { AdamW, trainLoop, type LossAndGrads, type StepEvent } from '@bytelm/core/train';
import { backendsForTest, expectClose, maxError, useBackend } from '@bytelm/core/testing';
import {
  batchOf,
  byteRows,
  CompressedRows,
  cutAlike,
  evaluateByteified,
  PAPER_STAGE1,
  PUBLISHED_STAGE1,
  PUBLISHED_STAGE2,
  scoreMerges,
  sharedTeacher,
  Stage1,
  Stage2,
  TeacherBytes,
  teacherOf,
  TokenRows,
  tokensInMemory,
  type ByteRows,
  type Stage,
  type StageLossConfig,
  type Teacher,
} from '../index.js';
import { TINY, tinyStudent, tinyTeacher, toyVocabulary as vocabulary } from './tiny-models.test-util.js';

/** Tokens of one to seven bytes; the second row is the first in another order. */
const TOKENS = [
  [256, 68, 268, 329, 67, 284, 315, 0],
  [284, 268, 67, 256, 329, 68, 315, 0],
];
const rowsOf = (tokens: number[][], options = {}) => byteRows(tokens, { vocabulary, ...options });
const PLAIN: StageLossConfig = PAPER_STAGE1;
const only = (weights: Partial<StageLossConfig['weights']>, base = PLAIN): StageLossConfig => ({ ...base, weights: { boundary: 0, encoder: 0, distill: 0, crossEntropy: 0, ...weights } });

const lossOf = async ({ loss }: LossAndGrads) => (await loss.data())[0]!;
const free = ({ loss, parts, grads }: LossAndGrads) => tf.dispose([loss, ...Object.values(parts).filter((p) => typeof p !== 'number'), ...grads.values()] as tf.Tensor[]);
const run = async <T>(stage: Stage<any>, rows: ByteRows, use: (out: LossAndGrads) => Promise<T>): Promise<T> => {
  const out = await stage.lossAndGrads(batchOf(rows));
  const result = await use(out);
  free(out);
  return result;
};

/** Says the same whatever it reads: a table of logits. */
class TableHead extends Module implements ByteHead {
  readonly vocabSize = 520;
  readonly boundaryFrom = 260;
  readonly table: tf.Variable;

  constructor(values: tf.Tensor) {
    super();
    this.table = this.addParameter('table', values);
  }

  forward(): tf.Tensor {
    return this.table;
  }
}

/** A student that copies its teacher on these rows. */
async function copyOf(student: BoundaryEmittingLM, teacher: Teacher, rows: ByteRows): Promise<{ copy: BoundaryEmittingLM; head: TableHead }> {
  const { logits } = teacher.read(rows.teacherIds, { batch: rows.batch, length: rows.patches }, { logits: true });
  const logProbs = (await tf.tidy(() => tf.logSoftmax(logits!)).data()) as Float32Array;
  const table = new TeacherBytes(vocabulary).logits(rows, logProbs, teacher.vocabSize);
  const head = new TableHead(tf.tensor3d(table, [rows.batch, rows.length, 520]));
  return { copy: new BoundaryEmittingLM({ ...student.parts, head }), head };
}

describe.each(backendsForTest())('stages on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  const rows = rowsOf(TOKENS);

  it('a student that copies its teacher: divergence 0 and gradient 0, and its joint likelihood is the teacher\'s', async () => {
    const student = tinyStudent(TINY, 1);
    const teacher = teacherOf(tinyTeacher(TINY, 2));
    const { copy, head } = await copyOf(student, teacher, rows);
    const stage = new Stage1(copy, teacher, { vocabulary, losses: { ...only({ distill: 1 }), divergence: 'kl' } });
    const largest = async (g: LossAndGrads) => (await tf.max(tf.abs(g.grads.get('head.table')!)).data())[0]!;
    const atCopy = await run(stage, rows, async (out) => [await lossOf(out), await largest(out)]);
    expect(Math.abs(atCopy[0]!)).toBeLessThan(2e-6);
    const report = await evaluateByteified(copy, tokensInMemory(TOKENS.flatMap((t) => t.slice(0, 7)), vocabulary), { vocabulary, teacher, patches: 8, batch: 2, boundaries: 'true' });
    expect(report.bytes).toBe(rows.lengths.reduce((a, n) => a + n - 1, 0));
    expect(Math.abs(report.joint.bitsPerByte - report.teacher!.bitsPerByte)).toBeLessThan(1e-5 * report.teacher!.bitsPerByte);
    head.table.assign(tf.add(head.table, tf.randomNormal(head.table.shape, 0, 0.5, 'float32', 3)));
    const away = await run(stage, rows, async (out) => [await lossOf(out), await largest(out)]);
    expect(away[0]!).toBeGreaterThan(1e-3);
    expect(atCopy[1]!).toBeLessThan(1e-4 * away[1]! + 1e-7);
  });

  it('gradients of stages 1 and 2 agree with finite differences', async () => {
    const student = tinyStudent(TINY, 3);
    const teacher = teacherOf(tinyTeacher(TINY, 4));
    const checks: [Stage<any>, string[]][] = [
      [new Stage1(student, teacher, { vocabulary, losses: PLAIN }), ['model.local_encoder.out_projection.weight', 'model.local_encoder.layers.0.xlstm.v.weight', 'model.local_encoder.boundary_predictor_module.q_proj_layer.weight', 'model.local_decoder.in_projection.weight', 'lm_head.weight']],
      [new Stage2(student, { teacherForceBoundaries: true }), ['model.layers.1.mlp.up_proj.weight', 'model.local_encoder.out_projection.bias', 'model.norm.weight']],
      [new Stage2(student, { teacherForceBoundaries: true, losses: only({ byteDistill: 1 }), teacher: { model: teacher, vocabulary } }), ['model.layers.1.mlp.up_proj.weight', 'lm_head.weight']],
    ];
    for (const [stage, names] of checks) {
      const grads = await run(stage, rows, async (out) => new Map(await Promise.all(names.map(async (n) => [n, (await out.grads.get(n)!.data()).slice()] as const))));
      for (const name of names) {
        const variable = stage.trainable().get(name)!;
        const base = (await variable.data()).slice() as Float32Array;
        const g = grads.get(name)!;
        const scale = Math.sqrt(Array.from(g, (v) => v * v).reduce((a, b) => a + b, 0) / g.length);
        const at = Math.floor(base.length / 3);
        const moved = async (d: number) => {
          variable.assign(tf.tensor(base.map((v, i) => (i === at ? v + d : v)), variable.shape));
          return run(stage, rows, lossOf);
        };
        const numeric = ((await moved(1e-2)) - (await moved(-1e-2))) / 2e-2;
        expect(Math.abs(numeric - g[at]!), `${name}[${at}] ${numeric} ${g[at]}`).toBeLessThan(3e-2 * (scale + Math.abs(numeric)) + 2e-4);
        variable.assign(tf.tensor(base, variable.shape));
      }
    }
  });

  it('a batch of two is the mean of its rows, and padding changes nothing', async () => {
    const student = tinyStudent(TINY, 5);
    const teacher = teacherOf(tinyTeacher(TINY, 6));
    for (const stage of [new Stage1(student, teacher, { vocabulary, losses: PLAIN }), new Stage2(student, { losses: { ...PUBLISHED_STAGE2, normalization: 'plain' }, teacherForceBoundaries: true })]) {
      const both = await run(stage, rows, lossOf);
      const each = [await run(stage, rowsOf([TOKENS[0]!]), lossOf), await run(stage, rowsOf([TOKENS[1]!]), lossOf)];
      expect((each[0]! + each[1]!) / 2 / both).toBeCloseTo(1, 5);
      const padded = await run(stage, rowsOf(TOKENS, { maxBytes: rows.length + 5, maxPatches: rows.patches }), lossOf);
      expect(padded / both).toBeCloseTo(1, 5);
    }
  });

  it('training lowers the losses, leaves the main network alone in stage 1, and leaks nothing', async () => {
    const student = tinyStudent(TINY, 7);
    const lm = tinyTeacher(TINY, 8);
    const store = tokensInMemory(Array.from({ length: 200 }, (_, i) => [256, 68, 268, 329, 67, 284, 315, 337][i % 8]!), vocabulary);
    const frozen = await Promise.all([...student.parts.main.parameters().values()].map(async (v) => (await v.data()).slice()));
    const withBytes = { ...PUBLISHED_STAGE1, weights: { ...PUBLISHED_STAGE1.weights, byteDistill: 1 } };
    for (const [stage, count, share] of [[new Stage1(student, teacherOf(lm), { vocabulary, losses: withBytes }), 22, 0.8], [new Stage2(student), 8, 0.97]] as [Stage<any>, number, number][]) {
      const batches = new TokenRows(store, { vocabulary, patches: 9, batch: 2, seed: 1, maxBytes: 40 });
      const optimizer = new AdamW(stage.parameterGroups({ mainRate: 0.5 }));
      const steps: StepEvent[] = [];
      let tensors = 0;
      for await (const e of trainLoop({ model: stage, batches, optimizer, schedule: () => 5e-3, steps: count })) {
        if (e.type !== 'step') continue;
        steps.push(e);
        if (e.step === 2) tensors = tf.memory().numTensors;
      }
      expect(tf.memory().numTensors).toBe(tensors);
      expect(steps.at(-1)!.loss).toBeLessThan(share * steps[0]!.loss);
      expect(Object.keys(steps[0]!.parts)).toEqual(expect.arrayContaining(['boundary', 'crossEntropy', 'boundaryAccuracy', 'bytesPerPatch', 'positionsPerChunk0']));
      const weighted = ['boundary', 'encoder', 'distill', 'crossEntropy', 'byteDistill'].reduce((n, k) => n + (steps[0]!.parts[k] ?? 0), 0);
      expect(weighted / steps[0]!.loss).toBeCloseTo(1, 5);
      optimizer.dispose();
      const now = await Promise.all([...student.parts.main.parameters().values()].map((v) => v.data()));
      const moved = now.map((v, i) => maxError(v, frozen[i]!)).reduce((a, b) => Math.max(a, b));
      if (stage instanceof Stage1) expect(moved).toBe(0);
      else expect(moved).toBeGreaterThan(1e-4);
    }
    student.dispose();
    lm.dispose();
  });

  it('a teacher that shares the frozen layers says what one of its own says, and runs as deep as it is asked', async () => {
    const student = tinyStudent(TINY, 9);
    const lm = tinyTeacher(TINY, 10);
    const own = lm.backbone.parameters();
    student.parts.main.parameters().forEach((v, name) => v.assign(own.get(name)!));
    const norm = { forward: (x: tf.Tensor3D) => (lm.backbone as never as { fromStream(x: tf.Tensor3D): tf.Tensor3D }).fromStream(x) };
    const shared = sharedTeacher({ embed: lm.embed, main: student.parts.main, norm, head: lm.head });
    const shape = { batch: rows.batch, length: rows.patches };
    const [a, b] = [teacherOf(lm), shared].map((t) => t.read(rows.teacherIds, shape, { logits: true, hidden: true, embeddings: true, blocks: 2 }));
    for (const key of ['logits', 'hidden', 'embeddings', 'blocks'] as const) await expectClose(b![key]!, a![key]!, { atol: 1e-6, name: key });
    const ctx = new SequenceContext(rows.batch, rows.patches, { ids: rows.teacherIds });
    await expectClose(a!.logits!, lm.forward(ctx), { atol: 1e-5 });
    expect(Object.keys(shared.read(rows.teacherIds, shape, { embeddings: true }))).toEqual(['embeddings']);
    let ran = 0;
    for (const block of (student.parts.main as never as { blocks: { forward: Function }[] }).blocks) {
      const forward = block.forward.bind(block);
      block.forward = (...args: unknown[]) => (ran++, forward(...args));
    }
    shared.read(rows.teacherIds, shape, { blocks: 1 });
    expect(ran).toBe(1);
    ctx.dispose();
  });

  it('stage 2 uses the predictor\'s boundaries for cutting and for labels; the tokenizer\'s where it is told to', async () => {
    const student = tinyStudent(TINY, 11);
    const loss = only({ crossEntropy: 1 }, PUBLISHED_STAGE2);
    const plain = { ...loss, normalization: 'plain' as const };
    const ctx = new SequenceContext(rows.batch, rows.length, { ids: rows.ids });
    const plan = await student.plan(ctx);
    const expected = student.loss(rows.labels, ctx.with({ plan }));
    const own = await run(new Stage2(student, { losses: plain }), rows, lossOf);
    expect(own / (await expected.total.data())[0]!).toBeCloseTo(1, 5);
    const forced = await run(new Stage2(student, { losses: plain, teacherForceBoundaries: true }), rows, async (out) => [await lossOf(out), out.parts.positionsPerChunk0 as number]);
    expect(forced[0]).not.toBeCloseTo(own, 4);
    expect(forced[1]).toBeCloseTo(rows.lengths.reduce((a, b) => a + b) / (2 * rows.patches), 5);
  });

  it('stage 2 cuts a share of its batches where the tokenizer does, the same ones every time', async () => {
    const student = tinyStudent(TINY, 16);
    const losses = only({ crossEntropy: 1 }, PUBLISHED_STAGE2);
    const batches = [[329, 67], [268, 315], [284, 256]].map((tokens) => rowsOf([tokens]));
    const by = async (teacherForceBoundaries: boolean | number) => {
      const stage = new Stage2(student, { losses, teacherForceBoundaries });
      const all: number[] = [];
      for (const some of batches) all.push(await run(stage, some, lossOf));
      return all;
    };
    const [own, forced, mixed, again] = [await by(false), await by(true), await by(0.5), await by(0.5)];
    expect(again).toEqual(mixed);
    const ways = mixed.map((loss, i) => (loss === forced[i] ? 'tokenizer' : loss === own[i] ? 'student' : 'neither'));
    expect(new Set(ways)).toEqual(new Set(['tokenizer', 'student']));
    expect(() => new Stage2(student, { teacherForceBoundaries: 1.5 })).toThrow('[Stage2] teacherForceBoundaries: expected a share from 0 to 1, got 1.5.');
  });

  it('stage 2 with its teacher: nothing more to learn for a copy, whoever cuts', async () => {
    const student = tinyStudent(TINY, 14);
    const teacher = teacherOf(tinyTeacher(TINY, 15));
    const { copy, head } = await copyOf(student, teacher, rows);
    const options = { losses: only({ byteDistill: 1, crossEntropy: 1 }), teacher: { model: teacher, vocabulary } };
    const partsOf = (stage: Stage2) => run(stage, rows, async ({ parts }) => Promise.all(['byteDistill', 'crossEntropy'].map(async (n) => (await (parts[n] as tf.Tensor).data())[0]!)));
    const forced = await partsOf(new Stage2(copy, { ...options, teacherForceBoundaries: true }));
    expect(Math.abs(forced[0]!)).toBeLessThan(2e-6);

    const ctx = new SequenceContext(rows.batch, rows.length, { ids: rows.ids });
    const plan = (await copy.plan(ctx))!;
    const alike = cutAlike(rows, plan[0]!.boundaryMask);
    expect(rows.labels.some((y, i) => y >= 0 && !alike[i])).toBe(true);
    const own = await partsOf(new Stage2(copy, options));
    expect(Math.abs(own[0]!)).toBeLessThan(2e-6);
    expect(own[1]! / (await copy.loss(rows.labels, ctx.with({ plan })).parts.crossEntropy!.data())[0]!).toBeCloseTo(1, 5);

    // Changed only where they differ, it still loses nothing to the teacher.
    const moved = Float32Array.from({ length: rows.batch * rows.length }, (_, i) => (alike[i] ? 0 : 1));
    head.table.assign(tf.add(head.table, tf.mul(tf.randomNormal(head.table.shape, 0, 1, 'float32', 5), tf.tensor3d(moved, [rows.batch, rows.length, 1]))));
    const [apart, text] = await partsOf(new Stage2(copy, options));
    expect(Math.abs(apart!)).toBeLessThan(2e-6);
    expect(text).not.toBeCloseTo(own[1]!, 3);
    expect((await partsOf(new Stage2(copy, { ...options, teacherForceBoundaries: true })))[0]).toBeGreaterThan(1e-3);
  });

  it('higher compression: fewer boundaries with every batch, by frequency and by an auxiliary model', async () => {
    const student = tinyStudent(TINY, 12);
    const lm = tinyTeacher(TINY, 13);
    const store = tokensInMemory(TOKENS.flat(), vocabulary);
    for (const merges of ['frequency' as const, scoreMerges(teacherOf(lm), 'entropy'), scoreMerges(teacherOf(lm), 'crossEntropy')]) {
      const batches = new CompressedRows(new TokenRows(store, { vocabulary, patches: 8, batch: 2, order: 'sequential' }), { start: 1, target: 6, steps: 2, merges });
      const before = batches.state();
      const counts: number[] = [];
      const tensors = tf.memory().numTensors;
      for (let i = 0; i < 3; i++) {
        const { rows: thin } = await batches.next();
        counts.push(thin.boundaryLabels.reduce((a, b) => a + b, 0));
        if (i === 2) expect(await run(new Stage2(student, { teacherForceBoundaries: true }), thin, async (out) => out.parts.positionsPerChunk0 as number)).toBeGreaterThan(4);
      }
      expect(tf.memory().numTensors).toBe(tensors);
      expect(counts[0]!).toBeGreaterThan(counts[1]!);
      expect(counts[1]!).toBeGreaterThan(counts[2]!);
      batches.restore(before);
      expect((await batches.next()).rows.boundaryLabels.reduce((a, b) => a + b, 0)).toBe(counts[0]);
    }
  });
});
