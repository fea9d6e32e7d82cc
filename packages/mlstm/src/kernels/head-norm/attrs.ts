/** `h` (rows, H, V); `gate` (rows, H*V), before its sigmoid; `weight` (H*V). */
export type HeadNormInput = 'h' | 'gate' | 'weight';
export const HEAD_NORM_INPUTS: readonly HeadNormInput[] = ['h', 'gate', 'weight'];

export type HeadNormGradInput = HeadNormInput | 'dy';
export const HEAD_NORM_GRAD_INPUTS: readonly HeadNormGradInput[] = [...HEAD_NORM_INPUTS, 'dy'];

export interface HeadNormAttrs {
  eps: number;
}
