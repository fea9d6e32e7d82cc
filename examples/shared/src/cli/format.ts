/** `1234567` → `1,234,567`, the same on every machine. */
export const count = (n: number): string => Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, ',');

/** Of something per second: as `count`, slow ones with two digits behind the point. */
export const rate = (n: number): string => (n < 10 ? n.toFixed(2) : count(n));

/** Seconds → `45s`, `5m 12s`, `2h 03m`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${String(s % 60).padStart(2, '0')}s`;
  return `${Math.floor(s / 3600)}h ${String(Math.floor((s % 3600) / 60)).padStart(2, '0')}m`;
}

/** `1.5 M`, `680 M`, `1.3 B`. */
export function compact(n: number): string {
  const units: [number, string][] = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']];
  const [size, name] = units.find(([u]) => n >= u) ?? [1, ''];
  const value = n / size;
  return `${value < 10 && name ? value.toFixed(2) : value < 100 && name ? value.toFixed(1) : value.toFixed(0)}${name && ` ${name}`}`;
}
