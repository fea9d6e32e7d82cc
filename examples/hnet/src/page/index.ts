export { chunksAnsi, chunksSummary } from './ansi.js';
export { byteCells, chunksJson, summarize, type ByteCell, type ChunkJson, type ChunkRow, type StageDecisions, type StageSummary } from './chunk-row.js';
export { chunksPage, type ChunksPageOptions } from './chunks-page.js';
