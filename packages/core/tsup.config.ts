import { defineConfig } from 'tsup';
import { packageBuild } from '../../tsup.base.js';

export default defineConfig(packageBuild({ index: 'src/index.ts', io: 'src/io/index.ts', train: 'src/train/index.ts', testing: 'src/testing/index.ts', evaluation: 'src/evaluation/index.ts', webgpu: 'src/webgpu/index.ts', gradients: 'src/gradients.ts' }));
