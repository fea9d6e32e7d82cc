export { byteIds, openWindows } from './byte-ids.js';
export { openText, readBytes, type OpenBatches, type OpenText, type TextRanges } from './open-data.js';
export { RUN_DEFAULTS, checkRunSettings, scheduleOf, type RunSettings } from './run-settings.js';
export { splitParts } from './split-parts.js';
export { readLines, TrainLog } from './train-log.js';
export { drawLoss, readRunFiles, readRunSettings } from './run-folder.js';
export { trainRun, type RunModel, type TrainJob, type TrainRunEvent, type TrainRunOptions } from './train-run.js';
