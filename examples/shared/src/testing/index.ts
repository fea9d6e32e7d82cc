export { temporaryFolder, testCli, TEXT, REPOSITORY, writeJson, type CliTester, type Ran, type SpawnOptions } from './run.js';
export { checkReadme } from './readme.js';
