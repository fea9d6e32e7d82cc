/** Checkpoints: reading and writing tensors under their published names. */
export { openBytes, type BytesLike, type ByteSource, type OpenBytesOptions } from './byte-source.js';
export { float32ToBf16 } from '../bf16.js';
export { bf16ToFloat32, f16ToFloat32, type HostTensor, type RawTensor, type ReadOptions, type StoredDtype, type TensorInfo, type TensorSource } from './tensor-source.js';
export { openSafetensors } from './safetensors.js';
export { openTorchCheckpoint, type OpenTorchOptions, type TorchCheckpoint } from './torch-checkpoint.js';
export { openCheckpoint } from './open-checkpoint.js';
export { fetchRepository, type HubOptions } from './hub-repository.js';
export { openPretrained, type PretrainedFiles, type PretrainedOptions } from './pretrained.js';
export { withRowSlices, type RowSlice } from './row-slices.js';
export { parseConfig } from './config-json.js';
export { saveSafetensors, serializeSafetensors, type SavableTensor, type SavableTensors, type StreamedTensor } from './save-safetensors.js';
export { loadState, saveState } from './state-file.js';
export { saveShards, type SaveShardsOptions } from './save-shards.js';
export { writeFileAtomic, type WriteFs } from './write-atomic.js';
export { mapKeys, type KeyMap, type KeyRule } from './key-map.js';
export { loadParameters, stateDict, type LoadParametersOptions, type LoadReport } from './parameters.js';
