const [W, H] = [320, 160];
const [LEFT, BOTTOM, TOP] = [34, 18, 8];

/** A line that grows: values by step. */
export class LinePlot {
  private readonly values: [x: number, y: number][] = [];

  constructor(
    private readonly place: HTMLElement,
    private readonly title: string,
    private readonly steps: number,
  ) {
    this.draw();
  }

  add(step: number, value: number): void {
    this.values.push([step, value]);
    this.draw();
  }

  private draw(): void {
    const ys = this.values.map(([, y]) => y);
    const [low, high] = ys.length ? [Math.min(...ys), Math.max(...ys)] : [0, 1];
    const span = Math.max(high - low, 0.1);
    const x = (step: number) => LEFT + ((W - LEFT - 6) * step) / this.steps;
    const y = (value: number) => TOP + (H - TOP - BOTTOM) * (1 - (value - low) / span);
    const points = this.values.map(([s, v]) => `${x(s).toFixed(1)},${y(v).toFixed(1)}`);
    const last = this.values.at(-1);
    const tick = (v: number) => `<path class="grid" d="M${LEFT},${y(v)}H${W - 6}"/><text x="${LEFT - 4}" y="${y(v) + 4}" text-anchor="end">${v.toFixed(2)}</text>`;
    this.place.innerHTML = `<h2>${this.title}${last ? `: ${last[1].toFixed(2)}` : ''}</h2><svg class="plot" viewBox="0 0 ${W} ${H}" preserveAspectRatio="none" role="img" aria-label="${this.title}${
      last ? `, ${last[1].toFixed(2)} at step ${last[0]}` : ''
    }">${tick(low)}${tick(low + span)}${points.length > 1 ? `<path d="M${points.join('L')}"/>` : ''}<text x="${LEFT}" y="${H - 4}">0</text><text x="${W - 6}" y="${H - 4}" text-anchor="end">${this.steps} steps</text></svg>`;
  }
}
