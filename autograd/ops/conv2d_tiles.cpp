#include "autograd/ops/conv2d_tiles_kernels.h"

#include "tensor/device.h"

#if defined(__x86_64__)
#include <algorithm>
#include <vector>

#include "autograd/ops/conv2d_direct_kernels.h"
#include "autograd/ops/conv2d_sources_kernels.h"
#include "autograd/ops/tile_band_kernels.h"
#include "tensor/parallel.h"

namespace patchcl::tiles {

namespace {

// Of a task's copy of x, in pairs.
int64_t copied_row(const Conv2dSizes& s) { return (s.w + 2) * s.cin / 2; }
int64_t rows_of_task(const Conv2dSizes& s) { return amx::rows_of_task(s, s.cin / 2); }
int64_t copied_rows(const Conv2dSizes& s) { return copied_row(s) * (rows_of_task(s) + 2); }

int64_t packed_weight(const Conv2dSizes& s) { return 9 * s.cin / 2 * s.cout; }

// W: (9 Cin / 2, Cout) pairs. Tap t of channels (c, o) is w[t * tap + c * row + o * column].
struct TapWeights {
  const float* w;
  int64_t tap, row, column;
};
void pack(const Conv2dSizes& s, const TapWeights& w, uint32_t* pairs) {
  const int64_t blocks = s.cin / 16;
  parallel_for(9 * blocks, [&](int64_t block) {
    const float* from = w.w + block / blocks * w.tap + block % blocks * 16 * w.row;
    ISA_PICK(pair_weights)(from, w.row, w.column, s.cout, pairs + block * 8 * s.cout);
  });
}

// Row y of an image of x between two pixels of zeros; all zeros outside of the image.
void copy_row(const Conv2dSizes& s, ConvSources<const bf16> x, int64_t image, int64_t y, bf16* to) {
  if (y < 0 || y >= s.h) {
    std::fill_n(reinterpret_cast<uint32_t*>(to), copied_row(s), 0);
    return;
  }
  std::fill_n(reinterpret_cast<uint32_t*>(to), s.cin / 2, 0);
  std::fill_n(reinterpret_cast<uint32_t*>(to + (s.w + 1) * s.cin), s.cin / 2, 0);
  for (const ConvSource<const bf16>& from : x) {
    const bf16* row = from.data + (image * s.h + y) * s.w * from.count;
    if (from.count == s.cin) {
      std::memcpy(to + s.cin, row, size_t(s.w * s.cin) * sizeof(bf16));
      return;
    }
    for (int64_t j = 0; j < s.w; ++j)
      std::memcpy(to + (j + 1) * s.cin + from.begin, row + j * from.count, size_t(from.count) * sizeof(bf16));
  }
}

// One direction: forward, or backward for data with exchanged channels and flipped taps.
void run(const Conv2dSizes& s, ConvSources<const bf16> x, const TapWeights& w, const ConvEnd& end,
    ConvSources<bf16> y, float* workspace) {
  uint32_t* weight = reinterpret_cast<uint32_t*>(workspace);
  pack(s, w, weight);
  uint32_t* copies = weight + packed_weight(s);
  const std::vector<ChannelRun<bf16>> out = channel_runs(y, amx::kOutputs);
  const int64_t rows = rows_of_task(s), bands = chunks(s.h, rows);
  parallel_for(s.n * bands, [&](int64_t task) {
    uint32_t* copy = copies + thread_index() * copied_rows(s);
    const int64_t image = task / bands, begin = task % bands * rows, end_row = std::min(s.h, begin + rows);
    for (int64_t i = begin - 1; i <= end_row; ++i)
      copy_row(s, x, image, i, reinterpret_cast<bf16*>(copy + (i - begin + 1) * copied_row(s)));
    const amx::TileBand<amx::PairsOfBf16> band(s, s.cin / 2, s.cout, {begin, end_row, copy});
    for (const ChannelRun<bf16>& b : out)
      band.each_tile(
          weight + b.begin(), b.count, [&](int64_t i, int64_t j, int64_t pixels, const float* sums) {
            bf16* to = b.of->data + ((image * s.h + i) * s.w + j) * b.of->count + b.first;
            ISA_PICK(finish_pixels)
            ({pixels, b.count, sums, amx::kOutputs, end.from(b.begin()), to, b.of->count, b.of->accumulate});
          });
  });
}

// ---- weight gradient ----

constexpr int64_t kRun = 64;         // channels of x of a task
constexpr int64_t kNearPairs = 256;  // of pixels that are summed before the sums go back to memory

// How many groups of rows, each with partial sums of its own.
int64_t groups_of(const Conv2dSizes& s) {
  return std::clamp<int64_t>(
      (1 << 20) / s.weights(), 4, std::min<int64_t>(64, std::max<int64_t>(4, s.n * s.h)));
}

// A piece of a group in a task's memory: rows of x, turned, with a row and a pixel of zeros around them, and
// rows of dy in pairs, with zeros behind them.
struct Piece {
  int64_t side, pairs;  // pairs of a tile; of a row, a multiple of it
  int64_t pitch;        // pixels of a turned row, an even number
  int64_t rows;         // of dy, at most
  explicit Piece(const Conv2dSizes& s)
      : side(amx::tile_side((s.w + 1) / 2)), pairs(chunks((s.w + 1) / 2, side) * side), pitch(2 * pairs + 2),
        rows(std::clamp<int64_t>(65536 / (s.w * std::min(kRun, s.cin)), 1, 16)) {}
  int64_t x_size(int64_t channels) const { return (rows + 2) * channels * pitch / 2; }
  int64_t dy_size(const Conv2dSizes& s) const { return rows * pairs * s.cout; }
};

// Rows [first, last) of an image.
struct PieceRows {
  int64_t image, first, last;
};

void turn_rows(const Conv2dSizes& s, const ChannelRun<const bf16>& run, const Piece& piece,
    const PieceRows& r, bf16* to) {
  const int64_t row_size = run.count * piece.pitch;
  for (int64_t y = r.first - 1; y <= r.last; ++y, to += row_size) {
    std::memset(to, 0, size_t(row_size) * sizeof(bf16));
    if (y < 0 || y >= s.h) continue;
    const bf16* row = run.of->data + (r.image * s.h + y) * s.w * run.of->count + run.first;
    ISA_PICK(turn_pixels)(row, s.w, run.of->count, run.count, to + 1, piece.pitch);
  }
}

// Adds to dw (9, Cin, Cout), from a run's first channel on, what `rows` rows give, which a near cache holds.
void add_rows(const Conv2dSizes& s, int64_t channels, const Piece& piece, int64_t rows, const bf16* x,
    const uint32_t* dy, float* dw) {
  const int64_t line = channels * piece.pitch / 2, tap = s.cin * s.cout, pair = 2 * amx::kSide;
  amx::TileGrid g{amx::kSide, piece.side, rows, piece.pairs, line, piece.pitch / 2,
      amx::kSide * piece.pitch / 2, s.cout, s.cout, amx::kSide * s.cout, true};
  const auto at = [&](int64_t u, int64_t v, int64_t c) {
    return reinterpret_cast<const uint32_t*>(x + (u * channels + c) * piece.pitch + v);
  };
  int64_t c = 0;
  for (; c + pair <= channels; c += pair)
    for (int64_t o = 0; o < s.cout; o += pair)
      for (int64_t t = 0; t < 9; ++t) {
        float* to = dw + t * tap + c * s.cout + o;
        if (o + pair <= s.cout) amx::multiply_grid<2, 2>(g, at(t / 3, t % 3, c), dy + o, to);
        else amx::multiply_grid<2, 1>(g, at(t / 3, t % 3, c), dy + o, to);
      }
  // A last tile of channels has no partner: the taps of a column have each other.
  g.a_step = line;
  g.c_step = 3 * tap;
  for (int64_t o = 0; c < channels && o < s.cout; o += amx::kSide)
    for (int64_t v = 0; v < 3; ++v)
      amx::multiply_grid<3, 1>(g, at(0, v, c), dy + o, dw + v * tap + c * s.cout + o);
}

void add_piece(const Conv2dSizes& s, int64_t channels, const Piece& piece, int64_t rows, const bf16* x,
    const uint32_t* dy, float* dw) {
  amx::set_shape(amx::kSide, piece.side);
  const int64_t most = std::max<int64_t>(1, kNearPairs / piece.pairs);
  for (int64_t y = 0; y < rows; y += most)
    add_rows(s, channels, piece, std::min(most, rows - y), x + y * channels * piece.pitch,
        dy + y * piece.pairs * s.cout, dw);
}

size_t weight_workspace(const Conv2dSizes& s) {
  const Piece piece(s);
  const int64_t scratch = piece.x_size(std::min(kRun, s.cin)) + piece.dy_size(s);
  return size_t(groups_of(s) * (s.weights() + 2 * s.cout) + threads() * scratch) * sizeof(float);
}

size_t pass_workspace(const Conv2dSizes& s) {
  return size_t(packed_weight(s) + threads() * copied_rows(s)) * sizeof(uint32_t);
}

}  // namespace

bool can(const Conv2dSizes& s, bool blocks) {
  return isa() == Isa::amx && s.same(3) && s.cout % 16 == 0 && blocks;
}

bool can_weight(const Conv2dSizes& s, bool blocks) { return can(s, blocks) && s.cin * s.cout < 4096; }

size_t workspace(const Conv2dSizes& s) {
  return std::max({pass_workspace(s), pass_workspace(s.exchanged()), weight_workspace(s)});
}

void forward(const Conv2dSizes& s, ConvSources<const bf16> x, const float* w, const ConvEnd& end, bf16* y,
    float* workspace) {
  const ConvSource<bf16> to{y, 0, s.cout};
  run(s, x, {w, s.cin * s.cout, s.cout, 1}, end, {&to, 1}, workspace);
}

void backward_data(
    const Conv2dSizes& s, const bf16* dy, const float* w, ConvSources<bf16> dx, float* workspace) {
  const ConvSource<const bf16> from{dy, 0, s.cout};
  const int64_t tap = s.cin * s.cout;
  run(s.exchanged(), {&from, 1}, {w + 8 * tap, -tap, 1, s.cout}, {}, dx, workspace);
}

void backward_weight(const Conv2dSizes& s, ConvSources<const bf16> x, const bf16* dy, ConvGrad dw,
    ConvGrad db, float* workspace) {
  const Piece piece(s);
  const std::vector<ChannelRun<const bf16>> runs = channel_runs(x, kRun);
  const int64_t groups = groups_of(s), splits = int64_t(runs.size()), all_rows = s.n * s.h;
  double* bias = reinterpret_cast<double*>(workspace);
  float* partial = workspace + 2 * groups * s.cout;
  uint32_t* scratch = reinterpret_cast<uint32_t*>(partial + groups * s.weights());
  const int64_t x_size = piece.x_size(std::min(kRun, s.cin)), size = x_size + piece.dy_size(s);
  parallel_for(groups * splits, [&](int64_t task) {
    const int64_t g = task / splits;
    const ChannelRun<const bf16>& run = runs[size_t(task % splits)];
    bf16* turned = reinterpret_cast<bf16*>(scratch + thread_index() * size);
    uint32_t* paired = scratch + thread_index() * size + x_size;
    float* to = partial + g * s.weights() + run.begin() * s.cout;
    for (int64_t t = 0; t < 9; ++t) std::fill_n(to + t * s.cin * s.cout, run.count * s.cout, 0.f);
    if (task % splits == 0) std::fill_n(bias + g * s.cout, s.cout, 0.);
    for (int64_t row = all_rows * g / groups, end = all_rows * (g + 1) / groups; row < end;) {
      const int64_t first = row % s.h, last = std::min({first + piece.rows, s.h, first + end - row});
      const bf16* of_rows = dy + row * s.w * s.cout;
      turn_rows(s, run, piece, {row / s.h, first, last}, turned);
      for (int64_t y = 0; y < last - first; ++y) ISA_PICK(pair_pixels)
      (of_rows + y * s.w * s.cout, s.w, s.cout, paired + y * piece.pairs * s.cout, piece.pairs);
      if (task % splits == 0) ISA_PICK(direct_bias<bf16>)
      (of_rows, (last - first) * s.w, s.cout, s.cout, bias + g * s.cout);
      add_piece(s, run.count, piece, last - first, turned, paired, to);
      row += last - first;
    }
  });
  if (dw.data) direct::sum_groups(s, groups, partial, /*transposed=*/false, dw);
  if (db.data) direct::sum_bias(s, groups, bias, db);
}

}  // namespace patchcl::tiles

#else

namespace patchcl::tiles {
bool can(const Conv2dSizes&, bool) { return false; }
bool can_weight(const Conv2dSizes&, bool) { return false; }
size_t workspace(const Conv2dSizes&) { return 0; }
void forward(const Conv2dSizes&, ConvSources<const bf16>, const float*, const ConvEnd&, bf16*, float*) {}
void backward_data(const Conv2dSizes&, const bf16*, const float*, ConvSources<bf16>, float*) {}
void backward_weight(const Conv2dSizes&, ConvSources<const bf16>, const bf16*, ConvGrad, ConvGrad, float*) {}
}  // namespace patchcl::tiles
#endif
