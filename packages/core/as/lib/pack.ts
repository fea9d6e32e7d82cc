/** Rows of an A panel and columns of a B panel: the register tile. */
export const MR: i32 = 4;
export const NR: i32 = 8;

/** Transposes the 4 x 4 block whose rows start at r0..r3 and stores it as 4 rows `ld` bytes apart. */
// @ts-ignore: decorator
@inline
function transpose4(x0: v128, x1: v128, x2: v128, x3: v128, to: usize, ld: usize): void {
  const lo01 = v128.shuffle<f32>(x0, x1, 0, 4, 1, 5);
  const hi01 = v128.shuffle<f32>(x0, x1, 2, 6, 3, 7);
  const lo23 = v128.shuffle<f32>(x2, x3, 0, 4, 1, 5);
  const hi23 = v128.shuffle<f32>(x2, x3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f64>(lo01, lo23, 0, 2));
  v128.store(to + ld, v128.shuffle<f64>(lo01, lo23, 1, 3));
  v128.store(to + 2 * ld, v128.shuffle<f64>(hi01, hi23, 0, 2));
  v128.store(to + 3 * ld, v128.shuffle<f64>(hi01, hi23, 1, 3));
}

/** `width` (4 or 8) lines of `kc` elements become kc groups of `width`; lines are `ls`, elements `es` bytes apart. */
// @ts-ignore: decorator
@inline
function packPanel(width: i32, lines: i32, kc: i32, from: usize, ls: usize, es: usize, to: usize): void {
  const group = <usize>(width << 2);
  if (lines < width) {
    for (let k = 0; k < kc; k++) {
      for (let i = 0; i < width; i++) store<f32>(to + (<usize>i << 2), i < lines ? load<f32>(from + <usize>i * ls) : 0);
      from += es;
      to += group;
    }
  } else if (ls == 4) {
    for (let k = 0; k < kc; k++) {
      v128.store(to, v128.load(from));
      if (width == 8) v128.store(to, v128.load(from, 16), 16);
      from += es;
      to += group;
    }
  } else {
    let k = 0;
    if (es == 4) {
      for (; k + 4 <= kc; k += 4) {
        for (let i = 0; i < width; i += 4) {
          const f = from + <usize>i * ls;
          transpose4(v128.load(f), v128.load(f + ls), v128.load(f + 2 * ls), v128.load(f + 3 * ls), to + (<usize>i << 2), group);
        }
        from += 16;
        to += group << 2;
      }
    }
    for (; k < kc; k++) {
      for (let i = 0; i < width; i++) store<f32>(to + (<usize>i << 2), load<f32>(from + <usize>i * ls));
      from += es;
      to += group;
    }
  }
}

/** Rows of A in panels of 4, zero-padded: element (i, k) of a panel at `4 k + i`. Strides in elements. */
export function packA(mc: i32, kc: i32, a: usize, ars: i32, acs: i32, to: usize): void {
  const rs = <usize>ars << 2;
  const cs = <usize>acs << 2;
  for (let i = 0; i < mc; i += MR) {
    packPanel(MR, min(MR, mc - i), kc, a + <usize>i * rs, rs, cs, to);
    to += <usize>(kc * MR) << 2;
  }
}

/** Columns of B in panels of 8, zero-padded: element (k, j) of a panel at `8 k + j`. Strides in elements. */
export function packB(kc: i32, nc: i32, b: usize, brs: i32, bcs: i32, to: usize): void {
  const rs = <usize>brs << 2;
  const cs = <usize>bcs << 2;
  for (let j = 0; j < nc; j += NR) {
    packPanel(NR, min(NR, nc - j), kc, b + <usize>j * cs, cs, rs, to);
    to += <usize>(kc * NR) << 2;
  }
}
