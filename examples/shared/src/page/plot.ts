import type { Config, TopLevelSpec } from 'vega-lite';

/** Draws a Vega-Lite plot as an SVG text that stands alone. The plotting libraries are loaded when the first plot is drawn. */
export async function plotSvg(spec: TopLevelSpec): Promise<string> {
  const [vega, lite] = await Promise.all([import('vega'), import('vega-lite')]);
  const view = new vega.View(vega.parse(lite.compile(spec).spec), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** What all plots of this project share: plain axes, white ground, colours that differ in brightness, too. */
export const PLOT_CONFIG: Config = {
  background: 'white',
  font: 'system-ui, sans-serif',
  axis: { gridColor: '#eceae4', domainColor: '#98a2b3', tickColor: '#98a2b3', labelColor: '#475467', titleColor: '#1d2430', titleFontWeight: 500 },
  legend: { labelColor: '#1d2430', titleColor: '#475467', orient: 'top' },
  title: { anchor: 'start', color: '#1d2430', fontSize: 14 },
  view: { stroke: null },
  range: { category: ['#2563c9', '#c2570c', '#1b7f53', '#7a5195', '#b54a6a', '#4d6b8a'] },
};
