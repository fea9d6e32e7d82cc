import { gemm, GEMM_SCRATCH_BYTES } from './lib/gemm';
import { load4, load4Or, store4, zeroRow } from './lib/rows';
import { exp4, hmax4, hsum4, log1 } from './lib/vec';

/** What the tail of a row is filled with: its exponential is 0. */
const NOTHING: f32 = -3e38;

/** Position of the first label that is neither in 0..classes-1 nor `ignore`, or -1. */
export function firstBadLabel(n: i32, labels: usize, classes: i32, ignore: i32): i32 {
  for (let i = 0; i < n; i++) {
    const label = load<i32>(labels + (<usize>i << 2));
    if (label != ignore && <u32>label >= <u32>classes) return i;
  }
  return -1;
}

function count(n: i32, labels: usize, ignore: i32): i32 {
  let rows = 0;
  for (let i = 0; i < n; i++) if (load<i32>(labels + (<usize>i << 2)) != ignore) rows++;
  return rows;
}

function rowMax(classes: i32, x: usize): f32 {
  let top = f32x4.splat(NOTHING);
  for (let i = 0; i < classes; i += 4) top = f32x4.max(top, load4Or(x + (<usize>i << 2), classes - i, NOTHING));
  return hmax4(top);
}

/** Loss of one row: lse - x[label] + zLoss lse^2. */
function rowLoss(classes: i32, x: usize, label: i32, zLoss: f32): f32 {
  const top = rowMax(classes, x);
  const top4 = f32x4.splat(top);
  let sum = f32x4.splat(0);
  for (let i = 0; i < classes; i += 4) sum = f32x4.add(sum, exp4(f32x4.sub(load4Or(x + (<usize>i << 2), classes - i, NOTHING), top4)));
  const logSum = log1(hsum4(sum));
  const lse = logSum + top;
  // From the top down, so that large logits do not cost digits.
  return logSum + (top - load<f32>(x + (<usize>label << 2))) + zLoss * lse * lse;
}

/** dx = scale (softmax (1 + 2 zLoss lse) - onehot); dx may be x. */
function rowGradient(classes: i32, x: usize, label: i32, scale: f32, zLoss: f32, dx: usize): void {
  const top = rowMax(classes, x);
  const top4 = f32x4.splat(top);
  let sum4 = f32x4.splat(0);
  for (let i = 0; i < classes; i += 4) {
    const at = <usize>i << 2;
    const e = exp4(f32x4.sub(load4Or(x + at, classes - i, NOTHING), top4));
    sum4 = f32x4.add(sum4, e);
    store4(dx + at, e, classes - i);
  }
  const sum = hsum4(sum4);
  const lse = zLoss != 0 ? log1(sum) + top : 0;
  const factor = f32x4.splat((scale * (<f32>1 + <f32>2 * zLoss * lse)) / sum);
  for (let i = 0; i < classes; i += 4) {
    const at = <usize>i << 2;
    store4(dx + at, f32x4.mul(load4(dx + at, classes - i), factor), classes - i);
  }
  const hit = dx + (<usize>label << 2);
  store<f32>(hit, load<f32>(hit) - scale);
}

/** Losses of n rows: written to `losses` (0 = do not), their sum over rows that count is returned. */
function lossRows(n: i32, classes: i32, logits: usize, labels: usize, ignore: i32, zLoss: f32, losses: usize): f64 {
  let total: f64 = 0;
  for (let i = 0; i < n; i++) {
    const label = load<i32>(labels + (<usize>i << 2));
    const loss: f32 = label == ignore ? 0 : rowLoss(classes, logits, label, zLoss);
    if (losses) store<f32>(losses + (<usize>i << 2), loss);
    total += <f64>loss;
    logits += <usize>classes << 2;
  }
  return total;
}

/** Gradients of n rows; `scale`: what `dloss` is multiplied with; dloss has one value per row unless `isMean`. */
function gradientRows(n: i32, classes: i32, logits: usize, labels: usize, dloss: usize, isMean: bool, scale: f32, ignore: i32, zLoss: f32, dlogits: usize): void {
  for (let i = 0; i < n; i++) {
    const label = load<i32>(labels + (<usize>i << 2));
    if (label == ignore) zeroRow(classes, dlogits);
    else rowGradient(classes, logits, label, scale * load<f32>(isMean ? dloss : dloss + (<usize>i << 2)), zLoss, dlogits);
    logits += <usize>classes << 2;
    dlogits += <usize>classes << 2;
  }
}

/** out: the mean over the rows that count (0 if none), or one loss per row. */
export function crossEntropy(n: i32, classes: i32, logits: usize, labels: usize, ignore: i32, zLoss: f32, isMean: bool, out: usize): void {
  const total = lossRows(n, classes, logits, labels, ignore, zLoss, isMean ? 0 : out);
  if (isMean) store<f32>(out, <f32>(total / <f64>max(1, count(n, labels, ignore))));
}

export function crossEntropyGrad(n: i32, classes: i32, logits: usize, labels: usize, dloss: usize, ignore: i32, zLoss: f32, isMean: bool, dlogits: usize): void {
  const scale: f32 = isMean ? <f32>1 / <f32>max(1, count(n, labels, ignore)) : 1;
  gradientRows(n, classes, logits, labels, dloss, isMean, scale, ignore, zLoss, dlogits);
}

/** Rows whose logits are alive at one time: 4 MiB of them, at most 256 rows. */
function blockRows(classes: i32): i32 {
  return max(4, min(256, (1 << 20) / classes));
}

export function linearScratch(classes: i32): i32 {
  return GEMM_SCRATCH_BYTES + ((blockRows(classes) * classes) << 2);
}

/** `crossEntropy` of logits = hidden (n, width) weight (classes, width)^T. */
export function linearCrossEntropy(
  n: i32, width: i32, classes: i32,
  hidden: usize, weight: usize, labels: usize,
  ignore: i32, zLoss: f32, isMean: bool,
  out: usize, scratch: usize,
): void {
  const logits = scratch + GEMM_SCRATCH_BYTES;
  const block = blockRows(classes);
  let total: f64 = 0;
  for (let start = 0; start < n; start += block) {
    const rows = min(block, n - start);
    const first = <usize>start << 2;
    gemm(rows, classes, width, hidden + first * <usize>width, width, 1, weight, 1, width, logits, classes, scratch, false);
    total += lossRows(rows, classes, logits, labels + first, ignore, zLoss, isMean ? 0 : out + first);
  }
  if (isMean) store<f32>(out, <f32>(total / <f64>max(1, count(n, labels, ignore))));
}

/** dhidden, dweight; the logits are computed again, block by block. */
export function linearCrossEntropyGrad(
  n: i32, width: i32, classes: i32,
  hidden: usize, weight: usize, labels: usize, dloss: usize,
  ignore: i32, zLoss: f32, isMean: bool,
  dhidden: usize, dweight: usize, scratch: usize,
): void {
  const logits = scratch + GEMM_SCRATCH_BYTES;
  const block = blockRows(classes);
  const scale: f32 = isMean ? <f32>1 / <f32>max(1, count(n, labels, ignore)) : 1;
  zeroRow(classes * width, dweight);
  for (let start = 0; start < n; start += block) {
    const rows = min(block, n - start);
    const first = <usize>start << 2;
    const h = hidden + first * <usize>width;
    gemm(rows, classes, width, h, width, 1, weight, 1, width, logits, classes, scratch, false);
    gradientRows(rows, classes, logits, labels + first, isMean ? dloss : dloss + first, isMean, scale, ignore, zLoss, logits);
    gemm(rows, width, classes, logits, classes, 1, weight, width, 1, dhidden + first * <usize>width, width, scratch, false);
    gemm(classes, width, rows, logits, 1, classes, h, width, 1, dweight, width, scratch, true);
  }
}
