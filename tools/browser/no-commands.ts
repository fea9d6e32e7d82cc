/** In a page this stands in for `commander` and `cli-progress`: command lines are loaded with the examples they are of, and not used. */
export class Command {}
export class Option {}
export class CommanderError extends Error {}
export class InvalidArgumentError extends Error {}
export class SingleBar {}
