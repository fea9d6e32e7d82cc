export { RECIPES, SAMPLE, type Recipe, type RecipeData, type Training } from './recipe.js';
export { phasesOf } from './phases/index.js';
export { readRecord, runPhases, type Context, type Phase } from './phases/phase.js';
export { claimsOf, type Claim } from './report/claims.js';
export { readResults, type Results } from './report/results.js';
export { writeReport } from './report/write.js';
export { runRecipe } from './run-recipe.js';
export { runCli } from './run-cli.js';
