const MARK = Symbol.for('bytelm.error');

/**
 * Base of every error bytelm throws on purpose. Recognise it with `BytelmError.is(e)`: two copies of a package in one process
 * (ESM beside CJS) break `instanceof`, the marker does not.
 */
export class BytelmError extends Error {
  /** Stable, machine-readable cause, e.g. `shape`, `config`, `checkpoint`. */
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
    Object.defineProperty(this, MARK, { value: true });
  }

  static is(e: unknown): e is BytelmError {
    return typeof e === 'object' && e !== null && MARK in e;
  }
}

/** A tensor does not have the shape or dtype the callee documents. */
export class ShapeError extends BytelmError {
  constructor(message: string) {
    super('shape', message);
  }
}

/** A configuration contradicts itself or names something unknown. The message lists every problem at once. */
export class ConfigError extends BytelmError {
  constructor(message: string) {
    super('config', message);
  }
}

/** A checkpoint file is damaged, refused or does not fit the model. */
export class CheckpointError extends BytelmError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('checkpoint', message, options);
  }
}

/** A backend cannot be started or cannot do what was asked. */
export class BackendError extends BytelmError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('backend', message, options);
  }
}

/** Data that was asked for cannot be read or is not what it claims to be. */
export class DataError extends BytelmError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('data', message, options);
  }
}

/** A loss, gradient or weight is NaN or infinite. */
export class NumericError extends BytelmError {
  constructor(message: string) {
    super('numeric', message);
  }
}
