import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixtureRoot } from '@bytelm/core/testing';
import { TEXT } from '@bytelm/example-shared/testing';
import { TOY_TOKENIZER } from './tiny-models.js';

type Json = Record<string, unknown>;
const readJson = (path: string): Json => JSON.parse(readFileSync(path, 'utf8')) as Json;

export interface ToyTeacher {
  /** Changes the `tokenizer.json`, its `tokenizer_config.json` or the `config.json`. */
  tokenizer?: (json: Json) => void;
  settings?: (json: Json) => void;
  config?: (json: Json) => void;
}

/** The teacher of a golden case, with the tokenizer beside it as published models have it. */
export function toyTeacher(folder: string, { tokenizer, settings, config }: ToyTeacher = {}): string {
  const from = join(fixtureRoot(), 'bolmo', 'bolmo_tiny_olmo2', 'teacher');
  mkdirSync(folder, { recursive: true });
  const put = (name: string, source: string, change?: (json: Json) => void) => {
    const json = readJson(join(source, name));
    change?.(json);
    writeFileSync(join(folder, name), JSON.stringify(json));
  };
  put('tokenizer.json', TOY_TOKENIZER, tokenizer);
  put('tokenizer_config.json', TOY_TOKENIZER, settings);
  put('config.json', from, config);
  copyFileSync(join(from, 'model.safetensors'), join(folder, 'model.safetensors'));
  return folder;
}

/** 6 kB of text as a file. */
export function toyText(folder: string, text = TEXT): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'text.txt');
  writeFileSync(path, text);
  return path;
}

/** Stages of a few updates: they take part of a second. */
export const SHORT = {
  preset: 'small',
  localHeads: 2,
  localIntermediate: 48,
  patches: 17,
  batch: 2,
  stage1Steps: 6,
  stage2Steps: 5,
  stage1Lr: 3e-3,
  stage2Lr: 1e-3,
  evalEvery: 4,
  evalBytes: 128,
  window: 64,
  saveEvery: 2,
  reportBytes: 160,
  backend: 'wasm',
} as const;
