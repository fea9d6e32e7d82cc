/**
 * Registers tfjs-core's gradient functions. `@tensorflow/tfjs-core` alone has none in Node ("gradient function not found for Sum"), and
 * its own file cannot be imported there. Inference does not need them; training and tests import this module.
 */
import './generated/tfjs-gradients.js';
