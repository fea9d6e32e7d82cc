export { continueText, type ContinueOptions } from './continue-text.js';
export { OrderedOutput } from './ordered-output.js';
export { escaped, TextWriter, type TextWriterOptions } from './text-writer.js';
