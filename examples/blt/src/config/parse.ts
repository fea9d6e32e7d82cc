import { ConfigError } from '@bytelm/core';
import { contradictions, entropyProblems } from './defaults.js';
import { failOn, isObject, type Findings, type Json } from './key-reader.js';
import { isOriginal, isOriginalEntropy, readOriginal, readOriginalEntropy } from './original.js';
import { isTransformers, isTransformersEntropy, readTransformers, readTransformersEntropy } from './transformers.js';
import type { BLTConfig, ConfigFormat, EntropyModelConfig, ParsedConfig } from './types.js';

/**
 * Understands a published configuration: the original's `{"args": …}` or `params.json`, or a transformers `config.json`.
 *
 * @param params Content of the entropy model's `params.json`, which the original keeps beside the model: its sizes, and the rule of patching.
 * @throws ConfigError listing every problem at once.
 */
export function parseBLTConfig(raw: unknown, params?: unknown): ParsedConfig {
  if (!isObject(raw)) throw new ConfigError('[BLTConfig] expected an object: {"args": …} or a transformers config.json.');
  const findings: Findings = { problems: [], unknown: {} };
  let format: ConfigFormat;
  let config: BLTConfig;
  if (isTransformers(raw)) [format, config] = ['transformers', readTransformers(raw, findings)];
  else if (isOriginal(raw) && !isOriginalEntropy(raw)) [format, config] = ['original', readOriginal(raw, isObject(params) ? params : undefined, findings)];
  else throw new ConfigError(`[BLTConfig] expected {"args": {"dim_global": …}} or a config.json with encoder_config, global_config and decoder_config, got keys ${Object.keys(raw).slice(0, 8).join(', ') || '(none)'}.${kindHint(raw)}`);
  failOn('BLTConfig', findings.problems.length ? findings.problems : contradictions(config));
  return { config, format, unknown: findings.unknown, raw };
}

/** The same for an entropy model on its own. @throws ConfigError listing every problem at once. */
export function parseEntropyConfig(raw: unknown): ParsedConfig<EntropyModelConfig> {
  if (!isObject(raw)) throw new ConfigError('[EntropyModelConfig] expected an object: {"args": …}, {"entropy_model": …} or {"patcher_config": …}.');
  const findings: Findings = { problems: [], unknown: {} };
  const format: ConfigFormat = isTransformersEntropy(raw) || isTransformers(raw) ? 'transformers' : 'original';
  if (format === 'original' && !('entropy_model' in raw) && !isOriginalEntropy(raw)) {
    throw new ConfigError(`[EntropyModelConfig] expected {"args": {"dim": …}}, {"entropy_model": …} or {"patcher_config": …}, got keys ${Object.keys(raw).slice(0, 8).join(', ') || '(none)'}. Hint: is this the configuration of another model?`);
  }
  const config = format === 'transformers' ? readTransformersEntropy(raw, findings) : readOriginalEntropy(raw, findings);
  failOn('EntropyModelConfig', findings.problems.length ? findings.problems : entropyProblems(config));
  return { config, format, unknown: findings.unknown, raw };
}

/** Checks a configuration made in code. @throws ConfigError listing every contradiction at once. */
export function resolveBLTConfig(config: BLTConfig): BLTConfig {
  failOn('BLTConfig', contradictions(config));
  return config;
}

const kindHint = (raw: Json): string =>
  isOriginalEntropy(raw) || isTransformersEntropy(raw) ? ' Hint: this is an entropy model, not a BLT.' : ' Hint: is this the configuration of another model?';
