export { runsFolder, temporaryFolder, testCli, TEXT, REPOSITORY, writeJson, type CliTester, type Ran, type RunsFolder, type SpawnOptions } from './run.js';
export { checkReadme } from './readme.js';
export { batchOf, packed, padded, PASSAGE } from './rows.js';
export {
  disturb,
  expectBatchEqualsSingle,
  expectDecodingFrees,
  expectNoLookAhead,
  expectPiecesEqual,
  expectPrefillThenSteps,
  expectStepsEqual,
  logitsOf,
  logitsOfEach,
  type StepsOptions,
} from './models.js';
export { expectGradients, expectLosses, free, lossAtTheseCuts, lossOf, type GradientsOptions } from './training.js';
