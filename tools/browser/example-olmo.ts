/** In a page this stands in for `@bytelm/example-olmo`: what Bolmo's model needs of it, without commands and trainings, which use files. */
export { fromHfConfig } from '../../examples/olmo/src/config.js';
export { parameterShapes } from '../../examples/olmo/src/model.js';
