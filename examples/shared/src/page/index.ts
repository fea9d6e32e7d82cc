export { chunksAnsi, chunksSummary } from './ansi.js';
export { byteCells, chunksJson, summarize, type ByteCell, type ByteCurve, type ChunkJson, type ChunkRow, type StageDecisions, type StageSummary } from './chunk-row.js';
export { chunksPage, type ChunksPageOptions } from './chunks-page.js';
export { lossCurveSvg, type LogLine, type LossCurveOptions } from './loss-curve.js';
export { PLOT_CONFIG, plotSvg } from './plot.js';
export { escapeHtml } from './markup.js';
export { PAGE_STYLE } from './page-style.js';
