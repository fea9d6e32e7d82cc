/**
 * Multipliers of the rolling hash by function number. Four of them need more than 32 bits.
 * @source facebookresearch/blt, `rolling_polynomial_hash`.
 */
export const HASH_PRIMES: readonly number[] = [
  1000000007, 5915587277, 1500450271, 3267000013, 5754853343, 4093082899, 9576890767, 3628273133, 2860486313, 5463458053, 3367900313,
];
