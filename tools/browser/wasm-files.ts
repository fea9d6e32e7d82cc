// Tests in a page that compare with wasm: the files of tfjs' WebAssembly lie where the test server hands out the repository.
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';

setWasmPaths('/@repository/node_modules/@tensorflow/tfjs-backend-wasm/dist/');
