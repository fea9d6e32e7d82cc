// Which keys a query sees, as intervals: every rule (causal, window, segments, lengths, empty slots) comes down to
// `qLo[i] <= kPos[j] <= qHi[i]` and, with segments, `qSegLo[i] <= kSeg[j] <= qSegHi[i]`. Extremes of each tile tell tiles that nobody sees
// (skipped) and tiles that all see (not masked) from the rest.
#pragma once
#include <algorithm>
#include <climits>
#include <vector>

#include "op.h"
#include "vec.h"

namespace bytelm {

constexpr int64_t TILE = 64;
/** In the place of hidden scores. */
constexpr float HIDDEN = -1e30f;
/** Position of what is no key: below every qLo. */
constexpr int32_t NO_KEY = INT_MIN;

enum class Seen { none, partly, all };

/** The inputs of a call that all rows of the batch share. */
struct MaskInputs {
  const int32_t *querySegments, *keySegments, *keyLengths, *queryPositions, *keyPositions;
  bool causal, segmentsUpTo;
  int32_t offset, windowLeft;

  /** Reads its inputs and numbers, in the order of `tensorflow.ts`. */
  explicit MaskInputs(Call& call) {
    querySegments = call.ints();
    keySegments = call.ints();
    keyLengths = call.ints();
    queryPositions = call.ints();
    keyPositions = call.ints();
    causal = call.flag();
    offset = static_cast<int32_t>(call.integer());
    windowLeft = static_cast<int32_t>(call.integer());
    segmentsUpTo = call.flag();
  }
};

/** The intervals of one row of the batch. */
class RowMask {
 public:
  RowMask(const MaskInputs& in, int64_t b, int64_t queries, int64_t keys) : segments_(in.querySegments) {
    const int64_t qn = (queries + TILE - 1) / TILE * TILE, kn = (keys + TILE - 1) / TILE * TILE;
    for (auto* v : {&qLo_, &qHi_, &qSegLo_, &qSegHi_}) v->resize(static_cast<size_t>(qn));
    kPos_.resize(static_cast<size_t>(kn));
    kSeg_.resize(static_cast<size_t>(kn));
    for (int64_t i = 0; i < queries; i++) {
      const auto at = static_cast<size_t>(i);
      const int32_t p = in.queryPositions ? in.queryPositions[b * queries + i] : static_cast<int32_t>(i) + in.offset;
      qLo_[at] = in.windowLeft >= 0 ? p - in.windowLeft : NO_KEY + 1;
      qHi_[at] = in.causal ? p : INT_MAX;
      const int32_t s = in.querySegments ? in.querySegments[b * queries + i] : 0;
      qSegLo_[at] = in.segmentsUpTo ? INT_MIN : s;
      qSegHi_[at] = s;
    }
    const int64_t real = in.keyLengths ? std::min<int64_t>(keys, in.keyLengths[b]) : keys;
    for (int64_t j = 0; j < kn; j++) {
      const auto at = static_cast<size_t>(j);
      const int32_t p = j < real ? in.keyPositions ? in.keyPositions[b * keys + j] : static_cast<int32_t>(j) : -1;
      kPos_[at] = p < 0 ? NO_KEY : p;
      kSeg_[at] = in.keySegments && j < keys ? in.keySegments[b * keys + j] : 0;
    }
    // Whole vectors of scores are worked on: what lies beyond the last key counts, as no key.
    const int64_t kEnd = std::min(kn, (keys + LANES - 1) / LANES * LANES);
    for (int64_t t = 0; t < qn; t += TILE) queryTiles_.push_back({range(qLo_, t, queries), range(qHi_, t, queries), range(qSegLo_, t, queries), range(qSegHi_, t, queries)});
    for (int64_t t = 0; t < kn; t += TILE) {
      KeyTile tile{};
      tile.lowest = range(kPos_, t, kEnd).low;
      tile.position = {INT_MAX, INT_MIN};
      tile.segment = {INT_MAX, INT_MIN};
      for (int64_t j = t; j < std::min(t + TILE, kEnd); j++) {
        const auto at = static_cast<size_t>(j);
        if (kPos_[at] == NO_KEY) continue;
        tile.position = {std::min(tile.position.low, kPos_[at]), std::max(tile.position.high, kPos_[at])};
        tile.segment = {std::min(tile.segment.low, kSeg_[at]), std::max(tile.segment.high, kSeg_[at])};
      }
      keyTiles_.push_back(tile);
    }
  }

  /** What the tile of queries that starts at i0 sees of the tile of keys that starts at j0. */
  Seen tile(int64_t i0, int64_t j0) const {
    const QueryTile& q = queryTiles_[static_cast<size_t>(i0 / TILE)];
    const KeyTile& k = keyTiles_[static_cast<size_t>(j0 / TILE)];
    if (k.position.high < q.lo.low || k.position.low > q.hi.high) return Seen::none;
    if (segments_ && (k.segment.high < q.segLo.low || k.segment.low > q.segHi.high)) return Seen::none;
    if (k.lowest < q.lo.high || k.position.high > q.hi.low) return Seen::partly;
    if (segments_ && (k.segment.low < q.segLo.high || k.segment.high > q.segHi.low)) return Seen::partly;
    return Seen::all;
  }

  /** All-ones lanes where query i sees keys j... */
  IntVec keys(int64_t i, int64_t j) const {
    const auto at = static_cast<size_t>(i);
    IntVec p, s;
    std::memcpy(&p, kPos_.data() + j, sizeof p);
    IntVec seen = (p >= qLo_[at]) & (p <= qHi_[at]);
    if (!segments_) return seen;
    std::memcpy(&s, kSeg_.data() + j, sizeof s);
    return seen & (s >= qSegLo_[at]) & (s <= qSegHi_[at]);
  }

 private:
  struct Range {
    int32_t low, high;
  };
  struct QueryTile {
    Range lo, hi, segLo, segHi;
  };
  struct KeyTile {
    /** Of all positions, NO_KEY when one is none; the others are of real keys. */
    int32_t lowest;
    Range position, segment;
  };
  static Range range(const std::vector<int32_t>& v, int64_t from, int64_t end) {
    const auto [low, high] = std::minmax_element(v.begin() + from, v.begin() + std::min(from + TILE, end));
    return {*low, *high};
  }

  bool segments_;
  std::vector<int32_t> qLo_, qHi_, qSegLo_, qSegHi_, kPos_, kSeg_;
  std::vector<QueryTile> queryTiles_;
  std::vector<KeyTile> keyTiles_;
};

/** q (B, Tq, H, D), k (B, Tk, Hkv, D), v (B, Tk, Hkv, Dv): sizes, and where the rows of a head start. */
struct AttentionSizes {
  Shape qShape, kShape, vShape;
  const float *q, *k, *v;
  int64_t batch, queries, keys, heads, kvHeads, group, dim, valueDim, qRow, kRow, vRow, yRow;

  explicit AttentionSizes(Call& call) {
    q = call.floats(&qShape);
    k = call.floats(&kShape);
    v = call.floats(&vShape);
    batch = qShape[0], queries = qShape[1], heads = qShape[2], dim = qShape[3];
    keys = kShape[1], kvHeads = kShape[2], valueDim = vShape[3];
    group = kvHeads ? heads / kvHeads : 1;
    qRow = heads * dim, kRow = kvHeads * dim, vRow = kvHeads * valueDim, yRow = heads * valueDim;
  }
  int64_t qAt(int64_t b, int64_t h) const { return b * queries * qRow + h * dim; }
  int64_t kAt(int64_t b, int64_t h) const { return b * keys * kRow + h / group * dim; }
  int64_t vAt(int64_t b, int64_t h) const { return b * keys * vRow + h / group * valueDim; }
  int64_t yAt(int64_t b, int64_t h) const { return b * queries * yRow + h * valueDim; }
};

}  // namespace bytelm
