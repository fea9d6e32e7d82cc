const isWeights = (file: string): boolean => /\.(safetensors|bin|pt|pth)$/.test(file) && !/^(training_args|optimizer|scheduler|rng_state|scaler)/.test(file);

/**
 * Which files of a published model are needed: its configuration and one set of weights (safetensors before torch, an index with its
 * shards before single files).
 *
 * @param files Names at the top of the repository.
 * @returns `weights` is what `openCheckpoint` takes; `undefined` when there is nothing, or several with no way to choose.
 */
export function chooseFiles(files: readonly string[]): { configs: string[]; weights: string | undefined; candidates: string[] } {
  const configs = files.filter((f) => ['config.json', 'params.json', 'generation_config.json'].includes(f));
  const candidates = files.filter(isWeights);
  for (const format of ['safetensors', 'pt', 'pth', 'bin']) {
    const ofFormat = candidates.filter((f) => f.endsWith(`.${format}`));
    const index = files.filter((f) => f.endsWith(`.${format}.index.json`));
    const usual = ofFormat.filter((f) => /^(model|pytorch_model|consolidated)\.[a-z]+$/.test(f));
    const found = index.length === 1 ? index : usual.length === 1 ? usual : ofFormat;
    if (found.length) return { configs, weights: found.length === 1 ? found[0] : undefined, candidates };
  }
  return { configs, weights: undefined, candidates };
}

/** The shards that an index names. */
export function shardsOf(index: string): string[] {
  const { weight_map: map } = JSON.parse(index) as { weight_map?: Record<string, string> };
  return [...new Set(Object.values(map ?? {}))];
}
