#include "autograd/ops/conv2d_direct_kernels.h"

#include <algorithm>
#include <vector>

#include "autograd/ops/conv2d_sources_kernels.h"
#include "tensor/device.h"
#include "tensor/parallel.h"

namespace patchcl::direct {

namespace {

// The weight as one of the two passes sees it: element (u,v,in,out) is data[u*du + v*dv + in*din + out*dout].
struct WeightView {
  const float* data;
  int64_t du, dv, din, dout;
  float at(int64_t u, int64_t v, int64_t in, int64_t out) const {
    return data[u * du + v * dv + in * din + out * dout];
  }
};
WeightView as_is(const Conv2dSizes& s, const float* w) {
  return {w, s.kw * s.cin * s.cout, s.cin * s.cout, s.cout, 1};
}
// Flipped in both directions, inputs and outputs exchanged: the weight of the backward pass.
WeightView flipped(const Conv2dSizes& s, const float* w) {
  const int64_t tap = s.cin * s.cout;
  return {w + (s.taps() - 1) * tap, -s.kw * tap, -tap, 1, s.cout};
}

// A run of output channels that one kernel call computes: 32 or 16 with direct_forward, up to 4 with
// direct_narrow.
template <class X> struct OutputBlock {
  const ConvSource<X>* to;
  int64_t first, outputs;  // within `to`
  float* weight;           // packed; of a narrow block, then four times the bias
  bool narrow() const { return outputs < 16; }
  int64_t padded() const { return narrow() ? 4 : outputs; }
  int64_t biases() const { return narrow() ? 16 : 0; }
};

// How many of the `rest` outputs the next block takes.
int64_t block_outputs(int64_t rest) {
  const int64_t widest = isa() >= Isa::avx512 ? 32 : 16;  // fewer registers: 16 outputs fill them
  if (rest >= widest) return widest;
  return rest >= 16 ? 16 : std::min<int64_t>(rest, 4);
}

// Cuts the destinations' channels into blocks, whose packed weights lie one after the other.
template <class X> std::vector<OutputBlock<X>> blocks(ConvSources<X> to, int64_t cin, float* packed) {
  std::vector<OutputBlock<X>> all;
  for (const ConvSource<X>& t : to)
    for (int64_t first = 0; t.data && first < t.count; first += all.back().outputs) {
      all.push_back({&t, first, block_outputs(t.count - first), packed});
      packed += 9 * cin * all.back().padded() + all.back().biases();
    }
  return all;
}

// direct_forward reads (3, Cin, 3, outputs), direct_narrow (3, 3, 4, Cin).
template <class X> void pack(const OutputBlock<X>& b, const WeightView& w, int64_t cin, const float* bias) {
  const int64_t offset = b.to->begin + b.first;
  float* out = b.weight;
  for (int64_t u = 0; u < 3; ++u)
    if (b.narrow()) {
      for (int64_t v = 0; v < 3; ++v)
        for (int64_t o = 0; o < 4; ++o)
          for (int64_t c = 0; c < cin; ++c) *out++ = o < b.outputs ? w.at(u, v, c, offset + o) : 0;
    } else {
      for (int64_t c = 0; c < cin; ++c)
        for (int64_t v = 0; v < 3; ++v)
          for (int64_t o = 0; o < b.outputs; ++o) *out++ = w.at(u, v, c, offset + o);
    }
  for (int64_t o = 0; o < b.biases(); ++o) {
    const int64_t k = o % b.padded();
    *out++ = bias && k < b.outputs ? bias[offset + k] : 0;
  }
}

// Rows per task: the block of x that they read stays in a first or second level cache for all blocks of
// outputs.
int64_t forward_rows(int64_t h, int64_t w, int64_t cin) {
  return std::clamp<int64_t>(32768 / (w * cin), 1, std::min<int64_t>(h, 16));
}

// The 3x3 convolution of x (N,H,W,Cin) with any view of a weight, into one or several tensors.
template <class X> void conv3x3(int64_t n, int64_t h, int64_t w, ConvSources<const X> x,
    const WeightView& weight, const ConvEnd& end, ConvSources<X> y, float* packed) {
  const int64_t cin = x.channels();
  const std::vector<OutputBlock<X>> block = blocks(y, cin, packed);
  parallel_for(int64_t(block.size()), [&](int64_t k) { pack(block[size_t(k)], weight, cin, end.bias); });
  const int64_t rows = forward_rows(h, w, cin), per_image = chunks(h, rows), count = int64_t(block.size());
  parallel_for(n * per_image * count, [&](int64_t task) {
    const OutputBlock<X>& b = block[size_t(task % count)];
    const int64_t image = task / count / per_image, row = task / count % per_image * rows;
    DirectForward<X> p{.h = h,
        .w = w,
        .image = image,
        .x = x,
        .weight = b.weight,
        .end = end.from(b.to->begin + b.first),
        .y = b.to->data + image * h * w * b.to->count + b.first,
        .y_channels = b.to->count,
        .accumulate = b.to->accumulate,
        .row_begin = row,
        .row_end = std::min(h, row + rows)};
    if (!b.narrow()) return ISA_PICK(direct_forward<X>)(p, int(b.outputs));
    if (p.end.bias) p.end.bias = b.weight + 9 * cin * b.padded();
    ISA_PICK(direct_narrow<X>)({p, int(b.outputs)});
  });
}

// ---- weight gradient ----

constexpr int64_t kScalarRun = 32;
constexpr int64_t kTasks = 64;  // aimed at: enough for many threads, few enough for large pieces

// How many groups of rows, each with partial sums of its own. By shape only. Deep layers have enough channel
// blocks to go round; shallow ones are cut along the image.
int64_t weight_groups(const Conv2dSizes& s) {
  const bool vectors_are_dy = s.cout % 16 == 0;
  const int64_t vectors = vectors_are_dy ? s.cout : s.cin, scalars = vectors_are_dy ? s.cin : s.cout;
  return std::clamp<int64_t>(kTasks / (chunks(vectors, 16) * chunks(scalars, kScalarRun)), 1, s.n * s.h);
}
// fn(image, first row, last row) over group g of the n*h rows, in pieces that a near cache holds.
template <class F> void for_row_pieces(const Conv2dSizes& s, int64_t g, int64_t groups, F fn) {
  const int64_t most = std::max<int64_t>(1, 256 / s.w);
  for (int64_t row = s.n * s.h * g / groups, end = s.n * s.h * (g + 1) / groups; row < end;) {
    const int64_t image = row / s.h, first = row % s.h,
                  last = std::min({first + most, s.h, first + end - row});
    fn(image, first, last);
    row += last - first;
  }
}

template <class X> void weight3x3(const Conv2dSizes& s, ConvSources<const X> x, const X* dy, ConvGrad dw,
    ConvGrad db, float* partial, double* partial_bias) {
  const ConvSource<const X> dy_source{dy, 0, s.cout};
  const ConvSources<const X> dy_sources{&dy_source, 1};
  const bool vectors_are_dy = s.cout % 16 == 0;
  const std::vector<ChannelRun<const X>> vectors = channel_runs(vectors_are_dy ? dy_sources : x, 16);
  const std::vector<ChannelRun<const X>> scalars = channel_runs(vectors_are_dy ? x : dy_sources, kScalarRun);
  const int64_t groups = weight_groups(s), splits = int64_t(vectors.size() * scalars.size());
  const int64_t tap = s.cin * s.cout, pitch = vectors_are_dy ? s.cout : s.cin;
  parallel_for(groups * splits, [&](int64_t task) {
    const int64_t g = task / splits, v = task % splits / int64_t(scalars.size()),
                  c = task % splits % int64_t(scalars.size());
    const ChannelRun<const X>& vector = vectors[size_t(v)];
    const ChannelRun<const X>& scalar = scalars[size_t(c)];
    float* sum = partial + g * s.weights() + scalar.begin() * pitch + vector.begin();
    for (int64_t t = 0; t < 9; ++t)
      for (int64_t k = 0; k < scalar.count; ++k) std::fill_n(sum + t * tap + k * pitch, 16, 0.f);
    // Each channel of dy is summed by one task of its group.
    const ChannelRun<const X>& dy_run = vectors_are_dy ? vector : scalar;
    const bool sums_bias = db.data && (vectors_are_dy ? c : v) == 0;
    double* bias = partial_bias + g * s.cout + dy_run.begin();
    if (sums_bias) std::fill_n(bias, dy_run.count, 0.);
    for_row_pieces(s, g, groups, [&](int64_t image, int64_t first, int64_t last) {
      const auto start = [&](const ChannelRun<const X>& r) {
        return r.of->data + image * s.h * s.w * r.of->count + r.first;
      };
      if (sums_bias) ISA_PICK(direct_bias<X>)
      (start(dy_run) + first * s.w * s.cout, (last - first) * s.w, s.cout, dy_run.count, bias);
      ISA_PICK(direct_weight<X>)
      ({.h = s.h,
          .w = s.w,
          .row_begin = first,
          .row_end = last,
          .vectors_are_dy = vectors_are_dy,
          .vectors = start(vector),
          .vector_pitch = vector.of->count,
          .scalars = start(scalar),
          .scalar_pitch = scalar.of->count,
          .channels = scalar.count,
          .sum = sum,
          .tap_stride = tap,
          .channel_stride = pitch});
    });
  });
  if (dw.data) sum_groups(s, groups, partial, !vectors_are_dy, dw);
  if (db.data) sum_bias(s, groups, partial_bias, db);
}

}  // namespace

void sum_groups(const Conv2dSizes& s, int64_t groups, const float* partial, bool transposed, ConvGrad dw) {
  const int64_t dc = transposed ? 1 : s.cout, dout = transposed ? s.cin : 1;
  parallel_for(s.taps() * s.cin, [&](int64_t k) {
    const float* from = partial + k / s.cin * s.cin * s.cout + k % s.cin * dc;
    float* to = dw.data + k * s.cout;
    for (int64_t o = 0; o < s.cout; ++o) {
      float sum = from[o * dout];
      for (int64_t g = 1; g < groups; ++g) sum += from[g * s.weights() + o * dout];
      to[o] = dw.accumulate ? to[o] + sum : sum;
    }
  });
}

void sum_bias(const Conv2dSizes& s, int64_t groups, const double* partial, ConvGrad db) {
  for (int64_t o = 0; o < s.cout; ++o) {
    double sum = db.accumulate ? double(db.data[o]) : 0;
    for (int64_t g = 0; g < groups; ++g) sum += partial[g * s.cout + o];
    db.data[o] = float(sum);
  }
}

bool can(const Conv2dSizes& s, bool blocks) { return s.same(3) && (s.cout % 16 == 0 || blocks); }
bool can_scale(const Conv2dSizes& s) { return s.same(3) && s.cout % 16 == 0; }

size_t workspace(const Conv2dSizes& s) {
  // Packed weights of either pass: outputs of each tensor rounded up to 4, and a bias; or partial sums of
  // both gradients.
  const auto packed_weights = [&](int64_t cin, int64_t cout, int64_t tensors) {
    return (s.taps() * cin + 4) * (cout + 3 * tensors);
  };
  const int64_t packed =
      std::max(packed_weights(s.cin, s.cout, 1), packed_weights(s.cout, s.cin, kMaxConvSources));
  const int64_t gradients = weight_groups(s) * (s.weights() + 2 * s.cout) + 16;
  return size_t(std::max(packed, gradients)) * sizeof(float);
}

template <class X> void forward(const Conv2dSizes& s, ConvSources<const X> x, const float* w,
    const ConvEnd& end, X* y, float* workspace) {
  const ConvSource<X> to{y, 0, s.cout};
  conv3x3<X>(s.n, s.h, s.w, x, as_is(s, w), end, {&to, 1}, workspace);
}

template <class X>
void backward_data(const Conv2dSizes& s, const X* dy, const float* w, ConvSources<X> dx, float* workspace) {
  const ConvSource<const X> from{dy, 0, s.cout};
  conv3x3<X>(s.n, s.h, s.w, {&from, 1}, flipped(s, w), {}, dx, workspace);
}

template <class X> void backward_weight(
    const Conv2dSizes& s, ConvSources<const X> x, const X* dy, ConvGrad dw, ConvGrad db, float* workspace) {
  // Doubles behind the partial weights, which are a multiple of 16 floats.
  double* bias = reinterpret_cast<double*>(workspace + chunks(weight_groups(s) * s.weights(), 16) * 16);
  weight3x3(s, x, dy, dw, db, workspace, bias);
}

CONV_PASSES_FOR(float)
CONV_PASSES_FOR(bf16)

}  // namespace patchcl::direct
