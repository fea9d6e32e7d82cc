export { fromHfConfig, type Architecture, type SourceConfig } from './config.js';
export { createSourceLM, parameterShapes, type SourceLM } from './model.js';
export { loadSourceLM, loadTokenizer, openSource, startToken, type SourceFiles } from './source.js';
export { generateText, type GeneratedToken, type GenerateTextOptions } from './generate-text.js';
export { evaluateText, type EvaluateTextOptions, type TokenScore } from './evaluate-text.js';
