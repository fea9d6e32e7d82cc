import { CheckpointError } from '@bytelm/core';
import { withRowSlices, type RowSlice, type TensorSource } from '@bytelm/core/io';
import type { BLTConfig, ConfigFormat } from '../config/index.js';
import { BLT_KEYS, ENTROPY_KEYS, FUSED_HASH_TABLES, PATCHER_PREFIX } from '../key-maps.js';
import { hashTableName, numHashTables } from '../parameter-shapes.js';
import { TensorView } from './tensor-view.js';

/** Parts of names that only one layout has. */
const SIGNS: Record<ConfigFormat, RegExp> = {
  original: /(^|\.)(tok_embeddings|attention_norm|ffn_norm|feed_forward|cross_attn_norm_\w+|attention\.w[qkvo]|cross_attn_layers\.\d+\.w[qkvo]|output)\./,
  transformers: /(^|\.)(embed_tokens|input_layernorm|post_attention_layernorm|self_attn|mlp\.\w+_proj|cross_attn_layers\.\d+\.[qkvo]_proj|lm_head)\./,
};

/**
 * In which of the two published layouts a checkpoint's tensors are named.
 * @throws CheckpointError when it is neither, or both.
 */
export function layoutOf(source: TensorSource): ConfigFormat {
  const found = (['original', 'transformers'] as const).map((format) => ({ format, names: source.names.filter((n) => SIGNS[format].test(n)) }));
  const [a, b] = found as [(typeof found)[0], (typeof found)[0]];
  if (a.names.length && b.names.length) {
    throw new CheckpointError(
      `[layout] ${source.name}: names of two layouts, ${a.names.length} of the original (${a.names.slice(0, 2).join(', ')}) and ${b.names.length} of transformers (${b.names.slice(0, 2).join(', ')}). Hint: files of two checkpoints are mixed.`,
    );
  }
  const own = found.find((f) => f.names.length);
  if (own) return own.format;
  throw new CheckpointError(`[layout] ${source.name}: expected the tensors of a BLT or an entropy model, got ${source.names.slice(0, 3).join(', ') || 'none'}. Hint: this is the checkpoint of another model.`);
}

/**
 * The tensors of a BLT by the original's names, whatever layout the file has; one matrix of all hash tables is seen as tables. The entropy
 * model of a transformers file is left out (`entropyView` has it).
 *
 * @throws CheckpointError
 */
export function bltView(source: TensorSource, config: BLTConfig): TensorView {
  const layout = layoutOf(source);
  const whole = splitHashTables(source, config);
  const stem = layout === 'original' ? commonStem(whole, 'local_encoder.') : '';
  const names = whole.names.filter((n) => n.startsWith(stem) && !(layout === 'transformers' && n.startsWith(PATCHER_PREFIX)));
  return view(whole, names, (n) => (layout === 'original' ? n.slice(stem.length) : BLT_KEYS.toModel(n)));
}

/**
 * The tensors of an entropy model by the original's names: from a file of its own, or from `model.patcher.*` of a transformers file.
 * @returns `undefined` when the file is a BLT without one.
 * @throws CheckpointError
 */
export function entropyView(source: TensorSource): TensorView | undefined {
  const layout = layoutOf(source);
  const embedding = layout === 'transformers' ? 'embed_tokens.weight' : 'tok_embeddings.weight';
  const prefix = [PATCHER_PREFIX, 'patcher.', 'model.', ''].find((p) => source.has(p + embedding));
  if (prefix === undefined) return undefined;
  const rename = (n: string) => (layout === 'transformers' ? ENTROPY_KEYS.toModel(n) : n);
  return view(source, source.names.filter((n) => n.startsWith(prefix)), (n) => rename(n.slice(prefix.length)));
}

/** `consolidated.pth` holds the model under `model`, beside what else its training saved. */
const commonStem = (source: TensorSource, start: string): string => (source.names.some((n) => n.startsWith(`model.${start}`)) && !source.names.some((n) => n.startsWith(start)) ? 'model.' : '');

function view(source: TensorSource, names: readonly string[], toModel: (name: string) => string | null): TensorView {
  const stored = new Map<string, string>();
  for (const name of names) {
    const own = toModel(name);
    if (own === null) continue;
    const other = stored.get(own);
    if (other !== undefined) throw new CheckpointError(`[layout] ${source.name}: ${other} and ${name} are both ${own}. Hint: files of two checkpoints are mixed.`);
    stored.set(own, name);
  }
  return new TensorView(source, stored);
}

/** Cuts the one matrix that transformers keeps into the original's tables: first all sizes of function 0, then of function 1, … */
function splitHashTables(source: TensorSource, config: BLTConfig): TensorSource {
  const fused = source.names.find((n) => n === FUSED_HASH_TABLES || n === `model.${FUSED_HASH_TABLES}`);
  if (fused === undefined) return source;
  const tables = numHashTables(config);
  // A matrix of another height is cut as evenly as it goes: its tables then have other shapes, and are reported with all that do.
  const height = (source.info(fused).shape[0] ?? 0) / tables;
  const cut = (t: number) => Math.floor(t * height);
  const slices = Array.from({ length: tables }, (_, t): [string, RowSlice] => [hashTableName(t), { name: fused, first: cut(t), rows: cut(t + 1) - cut(t) }]);
  return withRowSlices(source, new Map(slices));
}
