#include "autograd/ops/conv2d_winograd_kernels.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "autograd/ops/conv2d_sources_kernels.h"
#include "tensor/device.h"
#include "tensor/gemm_amx.h"
#include "tensor/parallel.h"

// Two schedules. Shallow layers have many tiles and small weights: a task takes some tiles through all
// stages, with V and M (or Z) in its own cache and U shared. Deep layers have few tiles and large weights:
// all tiles are transformed first, then a task takes a block of channels through the rest, with its part of U
// in its own cache; for dw, a task takes a point.
namespace patchcl::winograd {

namespace {

constexpr int64_t kPoints = 36;
constexpr int64_t kPartialWeights =
    32768;  // weights per tap in all partial gradients of a shallow layer together

// A matrix for each of the 36 points, `rows` x `columns`. 16 more floats keep the points off each other's
// cache lines.
int64_t point_size(int64_t rows, int64_t columns) { return rows * columns + 16; }
WinogradPoints<float> points(float* data, int64_t rows, int64_t columns) {
  return {data, point_size(rows, columns), columns};
}
WinogradPoints<const float> read_only(const WinogradPoints<float>& p) { return {p.data, p.point, p.pitch}; }

// The same for a factor, of maps X, of products that sum over its rows or its channels; never more cells than
// in f32.
enum class Along { rows, channels };
template <class X> WinogradPoints<float> factor(float* data, int64_t rows, int64_t channels, Along along) {
  if (std::is_same_v<X, float>) return points(data, rows, channels);
  const bool pairs_of_rows = along == Along::rows;
  WinogradPoints<float> p =
      pairs_of_rows ? points(data, (rows + 1) / 2, channels) : points(data, rows, channels / 2);
  p.form = pairs_of_rows ? WinogradForm::bf16_rows : WinogradForm::bf16_channels;
  return p;
}

const uint32_t* pairs(const float* cells) { return reinterpret_cast<const uint32_t*>(cells); }

int64_t tile_count(const Conv2dSizes& s) { return s.n * ((s.h + 3) / 4) * ((s.w + 3) / 4); }
WinogradTiles tiles(const Conv2dSizes& s, int64_t first, int64_t count) { return {s.h, s.w, first, count}; }

bool deep(const Conv2dSizes& s) { return s.cin * s.cout >= 16384; }

// Tiles that a task of a shallow layer takes at once: V and M (or Z) fill a part of its second-level cache.
int64_t shallow_tiles(const Conv2dSizes& s) {
  return std::clamp<int64_t>(5120 / (s.cin + s.cout) / 12, 1, 3) * 12;
}
// Tiles that a deep layer transforms at once: some megabytes.
int64_t deep_tiles(const Conv2dSizes& s) {
  return std::min(tile_count(s), std::max<int64_t>(64, 98304 / (s.cin + s.cout)));
}
// Output channels of a deep layer's task, and tiles that it takes at once: its U and M fill a second-level
// cache.
int64_t deep_outputs(const Conv2dSizes& s) { return s.cin <= 128 ? 64 : 32; }
int64_t deep_task_tiles(const Conv2dSizes& s) { return 2048 / deep_outputs(s); }
constexpr int64_t kTransformTiles = 4;  // per task that only transforms
constexpr int64_t kRows = 64;           // input channels per task of a deep layer's weight gradient

// One direction of the convolution: forward, or backward for data with exchanged channels and flipped taps.
template <class X> struct WinogradPass {
  Conv2dSizes s;
  ConvSources<const X> x;
  WinogradWeight weight;  // all of it; u not set
  ConvEnd end;
  ConvSources<X> y;
};

template <class X> void write_block(const WinogradPass<X>& p, const ChannelRun<X>& b, const WinogradTiles& t,
    const WinogradPoints<const float>& m) {
  ISA_PICK(winograd_output<X>)
  ({t, m, p.end.from(b.begin()), b.of->data + b.first, b.of->count, b.count, b.of->accumulate});
}

// C = [C] + A B by the kernel for factors of that form, over k rows of B, alone or in pairs.
void product(const WinogradPoints<float>& form, int64_t m, int64_t n, int64_t k, const float* a,
    int64_t a_row, int64_t a_column, const float* b, int64_t ldb, float* c, int64_t ldc, bool accumulate) {
  if (form.form == WinogradForm::f32)
    ISA_PICK(gemm_block)(m, n, k, a, a_row, a_column, b, ldb, c, ldc, accumulate);
  else
    pick_gemm_block_bf16()(m, n, (k + 1) / 2, pairs(a), a_row, a_column, pairs(b), ldb, c, ldc, accumulate);
}

// M[k] = V[k] U[k] for all points.
void multiply(const WinogradPoints<float>& v, const WinogradPoints<float>& u, const WinogradPoints<float>& m,
    int64_t tiles, int64_t cin, int64_t cout) {
  for (int64_t k = 0; k < kPoints; ++k)
    product(v, tiles, cout, cin, v.data + k * v.point, v.pitch, 1, u.data + k * u.point, u.pitch,
        m.data + k * m.point, m.pitch, /*accumulate=*/false);
}

template <class X> void run_shallow(const WinogradPass<X>& p, float* workspace) {
  const Conv2dSizes& s = p.s;
  const int64_t most = shallow_tiles(s), all = tile_count(s);
  const WinogradPoints<float> u = factor<X>(workspace, s.cin, s.cout, Along::rows);
  parallel_for(s.cin / 16, [&](int64_t block) {
    WinogradWeight w = p.weight;
    w.w += block * 16 * (w.transposed ? 1 : w.pitch);
    w.rows = 16;
    w.u = u.from_row(block * 16);
    ISA_PICK(winograd_weight)(w);
  });
  const int64_t v_size = kPoints * point_size(most, s.cin), m_size = kPoints * point_size(most, s.cout);
  float* scratch = workspace + kPoints * u.point;
  const std::vector<ChannelRun<X>> out = channel_runs(p.y, s.cout);
  parallel_for(chunks(all, most), [&](int64_t task) {
    float* mine = scratch + thread_index() * (v_size + m_size);
    const WinogradTiles t = tiles(s, task * most, std::min(most, all - task * most));
    const WinogradPoints<float> v = factor<X>(mine, most, s.cin, Along::channels),
                                m = points(mine + v_size, most, s.cout);
    ISA_PICK(winograd_input<X>)({t, p.x, v});
    multiply(v, u, m, t.count, s.cin, s.cout);
    for (const ChannelRun<X>& b : out) write_block(p, b, t, {m.data + b.begin(), m.point, m.pitch});
  });
}

// All tiles of a batch of them to V.
template <class X> void transform_input(const Conv2dSizes& s, ConvSources<const X> x, int64_t first,
    int64_t count, const WinogradPoints<float>& v) {
  parallel_chunks(
      count,
      [&](int64_t begin, int64_t end) {
        ISA_PICK(winograd_input<X>)
        ({tiles(s, first + begin, end - begin), x, v.from_row(begin)});
      },
      kTransformTiles);
}

template <class X> void run_deep(const WinogradPass<X>& p, float* workspace) {
  const Conv2dSizes& s = p.s;
  const int64_t most = deep_tiles(s), all = tile_count(s);
  const WinogradPoints<float> v = factor<X>(workspace, most, s.cin, Along::channels);
  const int64_t outputs = deep_outputs(s), task_tiles = deep_task_tiles(s);
  const int64_t u_size = kPoints * point_size(s.cin, outputs),
                m_size = kPoints * point_size(task_tiles, outputs);
  float* scratch = workspace + kPoints * v.point;
  const std::vector<ChannelRun<X>> out = channel_runs(p.y, outputs);
  for (int64_t start = 0; start < all; start += most) {
    const int64_t count = std::min(most, all - start);
    transform_input(s, p.x, start, count, v);
    // Each task transforms its part of the weight, so it should have some tiles to use it for.
    const int64_t spans = std::max<int64_t>(1, count / 128);
    parallel_for(int64_t(out.size()) * spans, [&](int64_t task) {
      const ChannelRun<X>& b = out[size_t(task / spans)];
      float* mine = scratch + thread_index() * (u_size + m_size);
      const WinogradPoints<float> u = factor<X>(mine, s.cin, b.count, Along::rows),
                                  m = points(mine + u_size, task_tiles, b.count);
      WinogradWeight w = p.weight;
      w.w += b.begin() * (w.transposed ? w.pitch : 1);
      w.columns = b.count;
      w.u = u;
      ISA_PICK(winograd_weight)(w);
      const int64_t end = count * (task % spans + 1) / spans;
      for (int64_t first = count * (task % spans) / spans; first < end; first += task_tiles) {
        const WinogradTiles t = tiles(s, start + first, std::min(task_tiles, end - first));
        multiply(v.from_row(first), u, m, t.count, s.cin, b.count);
        write_block(p, b, t, read_only(m));
      }
    });
  }
}

template <class X> void run(const WinogradPass<X>& p, float* workspace) {
  deep(p.s) ? run_deep(p, workspace) : run_shallow(p, workspace);
}

size_t pass_workspace(const Conv2dSizes& s) {
  if (deep(s))
    return size_t(kPoints * (point_size(deep_tiles(s), s.cin) +
                                threads() * (point_size(s.cin, deep_outputs(s)) +
                                                point_size(deep_task_tiles(s), deep_outputs(s)))));
  return size_t(
      kPoints * (point_size(s.cin, s.cout) + threads() * (point_size(shallow_tiles(s), s.cin) +
                                                             point_size(shallow_tiles(s), s.cout))));
}

// ---- weight gradient ----

// Groups of tiles of a shallow layer, each with a partial gradient.
int64_t shallow_groups(const Conv2dSizes& s) {
  return std::clamp<int64_t>(kPartialWeights / (s.cin * s.cout), 4, 64);
}

void sum_bias(const Conv2dSizes& s, int64_t parts, const float* partial, ConvGrad db) {
  for (int64_t o = 0; o < s.cout; ++o) {
    double sum = db.accumulate ? double(db.data[o]) : 0;
    for (int64_t p = 0; p < parts; ++p) sum += double(partial[p * s.cout + o]);
    db.data[o] = float(sum);
  }
}

// dU[k] (+)= V[k]^T Z[k]: channels [row, row + rows) of V times all of Z.
void multiply_transposed(int64_t k, const WinogradPoints<float>& v, const WinogradPoints<float>& z,
    const WinogradPoints<float>& du, int64_t tiles, int64_t row, int64_t rows, bool accumulate) {
  product(v, rows, z.pitch, tiles, v.data + k * v.point + row, 1, v.pitch, z.data + k * z.point, z.pitch,
      du.data + k * du.point + row * du.pitch, du.pitch, accumulate);
}

// dw from the sum of `groups` transformed gradients, `group` elements apart.
void write_gradient(
    const Conv2dSizes& s, const WinogradPoints<float>& du, int64_t groups, int64_t group, ConvGrad dw) {
  parallel_for(s.cin, [&](int64_t c) {
    ISA_PICK(winograd_weight_gradient)
    ({{du.data + c * du.pitch, du.point, du.pitch}, groups, group, 1, s.cout, dw.data + c * s.cout,
        s.cin * s.cout, s.cout, dw.accumulate});
  });
}

template <class X> void weight_shallow(
    const Conv2dSizes& s, ConvSources<const X> x, const X* dy, ConvGrad dw, ConvGrad db, float* workspace) {
  const int64_t most = shallow_tiles(s), all = tile_count(s), groups = shallow_groups(s);
  const int64_t du_size = kPoints * point_size(s.cin, s.cout);
  const int64_t v_size = kPoints * point_size(most, s.cin), z_size = kPoints * point_size(most, s.cout);
  float* bias = workspace + groups * du_size;
  float* scratch = bias + groups * s.cout;
  parallel_for(groups, [&](int64_t g) {
    float* mine = scratch + thread_index() * (v_size + z_size);
    const WinogradPoints<float> v = factor<X>(mine, most, s.cin, Along::rows),
                                z = factor<X>(mine + v_size, most, s.cout, Along::rows);
    const WinogradPoints<float> du = points(workspace + g * du_size, s.cin, s.cout);
    std::fill_n(bias + g * s.cout, s.cout, 0.f);
    const int64_t begin = all * g / groups, end = all * (g + 1) / groups;
    if (begin == end) std::fill_n(du.data, du_size, 0.f);
    for (int64_t first = begin; first < end; first += most) {
      const WinogradTiles t = tiles(s, first, std::min(most, end - first));
      ISA_PICK(winograd_input<X>)({t, x, v});
      ISA_PICK(winograd_gradient<X>)({t, dy, s.cout, z, bias + g * s.cout});
      for (int64_t k = 0; k < kPoints; ++k)
        multiply_transposed(k, v, z, du, t.count, 0, s.cin, first > begin);
    }
  });
  if (db.data) sum_bias(s, groups, bias, db);
  if (dw.data) write_gradient(s, points(workspace, s.cin, s.cout), groups, du_size, dw);
}

template <class X> void weight_deep(
    const Conv2dSizes& s, ConvSources<const X> x, const X* dy, ConvGrad dw, ConvGrad db, float* workspace) {
  const int64_t most = deep_tiles(s), all = tile_count(s), parts = chunks(most, kTransformTiles);
  const WinogradPoints<float> v = factor<X>(workspace, most, s.cin, Along::rows),
                              z = factor<X>(workspace + kPoints * v.point, most, s.cout, Along::rows);
  float* bias = z.data + kPoints * z.point;
  const WinogradPoints<float> du = points(bias + parts * s.cout, s.cin, s.cout);
  std::fill_n(bias, parts * s.cout, 0.f);
  for (int64_t start = 0; start < all; start += most) {
    const int64_t count = std::min(most, all - start);
    transform_input(s, x, start, count, v);
    parallel_chunks(
        count,
        [&](int64_t begin, int64_t end) {
          ISA_PICK(winograd_gradient<X>)
          ({tiles(s, start + begin, end - begin), dy, s.cout, z.from_row(begin),
              bias + begin / kTransformTiles * s.cout});
        },
        kTransformTiles);
    const int64_t splits = chunks(s.cin, kRows);
    parallel_for(kPoints * splits, [&](int64_t task) {
      const int64_t row = task % splits * kRows;
      multiply_transposed(task / splits, v, z, du, count, row, std::min(kRows, s.cin - row), start > 0);
    });
  }
  if (dw.data) write_gradient(s, du, 1, 0, dw);
  if (db.data) sum_bias(s, parts, bias, db);
}

size_t weight_workspace(const Conv2dSizes& s) {
  if (deep(s))
    return size_t(kPoints * (point_size(deep_tiles(s), s.cin) + point_size(deep_tiles(s), s.cout) +
                                point_size(s.cin, s.cout)) +
                  chunks(deep_tiles(s), kTransformTiles) * s.cout);
  return size_t(kPoints * (shallow_groups(s) * point_size(s.cin, s.cout) +
                              threads() * (point_size(shallow_tiles(s), s.cin) +
                                              point_size(shallow_tiles(s), s.cout))) +
                shallow_groups(s) * s.cout);
}

}  // namespace

bool can(const Conv2dSizes& s, bool blocks) { return s.same(3) && s.cout % 16 == 0 && blocks; }

size_t workspace(const Conv2dSizes& s) {
  return std::max({pass_workspace(s), pass_workspace(s.exchanged()), weight_workspace(s)}) * sizeof(float);
}

template <class X> void forward(const Conv2dSizes& s, ConvSources<const X> x, const float* w,
    const ConvEnd& end, X* y, float* workspace) {
  const ConvSource<X> to{y, 0, s.cout};
  run<X>(
      {s, x, {w, s.cin * s.cout, s.cout, /*transposed=*/false, s.cin, s.cout, {}}, end, {&to, 1}}, workspace);
}

template <class X>
void backward_data(const Conv2dSizes& s, const X* dy, const float* w, ConvSources<X> dx, float* workspace) {
  const ConvSource<const X> from{dy, 0, s.cout};
  const int64_t tap = s.cin * s.cout;
  run<X>({s.exchanged(), {&from, 1}, {w + 8 * tap, -tap, s.cout, /*transposed=*/true, s.cout, s.cin, {}}, {},
             dx},
      workspace);
}

template <class X> void backward_weight(
    const Conv2dSizes& s, ConvSources<const X> x, const X* dy, ConvGrad dw, ConvGrad db, float* workspace) {
  deep(s) ? weight_deep(s, x, dy, dw, db, workspace) : weight_shallow(s, x, dy, dw, db, workspace);
}

CONV_PASSES_FOR(float)
CONV_PASSES_FOR(bf16)

}  // namespace patchcl::winograd
