import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';

const examples = fileURLToPath(new URL('../..', import.meta.url));

/** What the page fetches of the models that ship with the examples; a model whose folder is not there is left out. */
const MODELS: Record<string, string[]> = {
  hnet: ['config.json', 'model.safetensors'],
  blt: ['config.json', 'model.safetensors', 'entropy_model/params.json', 'entropy_model/model.safetensors'],
  bolmo: ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'],
};

/** Address of each file in the built page → file on disk: models, the tokenizer of the BPE patcher, sample text, tfjs' WebAssembly. */
export function shippedPaths(): Map<string, string> {
  const out = new Map<string, string>();
  const add = (address: string, path: string) => existsSync(path) && out.set(address, path);
  for (const [name, files] of Object.entries(MODELS)) {
    const folder = join(examples, name, 'models', 'tiny');
    if (files.every((f) => existsSync(join(folder, f)))) for (const f of files) add(`models/${name}/${f}`, join(folder, f));
  }
  for (const f of ['tokenizer.json', 'tokenizer_config.json']) add(`data/bpe/${f}`, join(examples, 'data', 'prose-en-bpe-2048', f));
  add('data/verse.txt', join(examples, 'data', 'verse.txt'));
  const wasm = dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm'));
  for (const f of readdirSync(wasm).filter((f) => f.endsWith('.wasm'))) add(`wasm/${f}`, join(wasm, f));
  return out;
}

/** Copies them beside the bundle, with `shipped.json` listing them: the page asks only for what is there. */
export function shippedFiles(): Plugin {
  return {
    name: 'bytelm-shipped-files',
    generateBundle() {
      const paths = shippedPaths();
      for (const [fileName, path] of paths) this.emitFile({ type: 'asset', fileName, source: readFileSync(path) });
      this.emitFile({ type: 'asset', fileName: 'shipped.json', source: JSON.stringify([...paths.keys()]) });
    },
  };
}
