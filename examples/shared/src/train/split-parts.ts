const PART = 'positionsPerChunk';

/** Takes a model's parts apart: losses by name, and bytes per chunk of each stage (outermost first) out of positions per chunk. */
export function splitParts(parts: Readonly<Record<string, number>>): { losses: Record<string, number>; bytesPerChunk: number[] } {
  const losses = Object.fromEntries(Object.entries(parts).filter(([name]) => !name.startsWith(PART)));
  const bytesPerChunk: number[] = [];
  for (let s = 0; `${PART}${s}` in parts; s++) bytesPerChunk.push((bytesPerChunk[s - 1] ?? 1) * parts[`${PART}${s}`]!);
  return { losses, bytesPerChunk };
}
