import { float32ToBf16, type SavableTensor, type StreamedTensor } from '@bytelm/core/io';

/** A float32 tensor, stored with half the bytes. Tensors of other kinds stay as they are. */
export function storedAsBf16(tensor: SavableTensor): SavableTensor {
  if (tensor.dtype !== 'F32' && tensor.dtype !== 'float32') return tensor;
  const pieces = 'chunks' in tensor ? () => tensor.chunks() : () => wholeOf(tensor);
  const stored: StreamedTensor = {
    dtype: 'BF16',
    shape: tensor.shape,
    async *chunks() {
      for await (const piece of pieces()) {
        const half = float32ToBf16(new Float32Array(piece.buffer, piece.byteOffset, piece.byteLength / 4));
        yield new Uint8Array(half.buffer, half.byteOffset, half.byteLength);
      }
    },
  };
  return stored;
}

async function* wholeOf(tensor: Exclude<SavableTensor, StreamedTensor>): AsyncGenerator<Uint8Array> {
  const values = 'values' in tensor ? tensor.values : await tensor.data();
  yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
