import { CheckpointError } from '../errors.js';

/**
 * Parses a published `config.json`. Python writes numbers that JSON has not: bare `Infinity`, `-Infinity` and `NaN` (older transformers),
 * or `{"__float__": "Infinity"}` (newer ones); both become numbers.
 *
 * @param where File, for messages.
 * @throws CheckpointError when it is not a JSON object.
 */
export function parseConfig(text: string, where: string): Record<string, unknown> {
  // Strings are matched too, so that such words inside them stay as they are.
  const quoted = text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:Infinity|NaN)\b/g, (m) => (m.startsWith('"') ? m : `{"__float__":"${m}"}`));
  let config: unknown;
  try {
    config = JSON.parse(quoted, (_, value: unknown) => {
      const special = value !== null && typeof value === 'object' && Object.keys(value).length === 1 ? (value as { __float__?: unknown }).__float__ : undefined;
      return typeof special === 'string' ? Number(special) : value;
    });
  } catch (cause) {
    throw new CheckpointError(`[parseConfig] ${where}: it is not JSON (${(cause as Error).message}). Hint: download it again.`, { cause });
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config)) throw new CheckpointError(`[parseConfig] ${where}: expected a JSON object, got ${text.trim().slice(0, 40)}.`);
  return config as Record<string, unknown>;
}
