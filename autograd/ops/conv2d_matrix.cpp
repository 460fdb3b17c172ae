#include "autograd/ops/conv2d_matrix_kernels.h"

#include <algorithm>
#include <type_traits>

#include "autograd/ops/conv2d_direct_kernels.h"
#include "tensor/device.h"
#include "tensor/gemm_amx.h"
#include "tensor/parallel.h"
#include "tensor/widen.h"

namespace patchcl::matrix {

namespace {

constexpr int64_t kPixels = 192;  // per task

// Weight (Cin, Cout) in the pass's own sense.
void conv1x1(int64_t pixels, ConvSources<const float> x, const float* weight, int64_t cout, const float* bias,
    ConvSources<float> y) {
  parallel_chunks(
      pixels,
      [&](int64_t begin, int64_t end) {
        for (const ConvSource<float>& to : y) {
          if (!to.data) continue;
          float* out = to.data + begin * to.count;
          for (int64_t p = 0; bias && p < end - begin; ++p)
            std::copy_n(bias + to.begin, to.count, out + p * to.count);
          bool accumulate = to.accumulate || bias;
          for (const ConvSource<const float>& from : x) {
            ISA_PICK(gemm_block)
            (end - begin, to.count, from.count, from.data + begin * from.count, from.count, 1,
                weight + from.begin * cout + to.begin, cout, out, to.count, accumulate);
            accumulate = true;
          }
        }
      },
      kPixels);
}

// (Cin/2, Cout) pairs of neighbouring rows of the weight; element (c, o) of it is w[c * row + o * column].
void pack_pairs(const float* w, int64_t row, int64_t column, int64_t cin, int64_t cout, bf16* pairs) {
  for (int64_t c = 0; c < cin; ++c)
    for (int64_t o = 0; o < cout; ++o) pairs[(c / 2 * cout + o) * 2 + c % 2] = w[c * row + o * column];
}

// The same of bf16 maps; `sums` has room for (threads, kPixels, Cout).
void conv1x1(int64_t pixels, ConvSources<const bf16> x, const bf16* weight, int64_t cout, const float* bias,
    ConvSources<bf16> y, float* sums) {
  const auto pairs = [](const bf16* p) { return reinterpret_cast<const uint32_t*>(p); };
  parallel_chunks(
      pixels,
      [&](int64_t begin, int64_t end) {
        float* sum = sums + thread_index() * kPixels * cout;
        for (const ConvSource<bf16>& to : y) {
          if (!to.data) continue;
          for (int64_t p = 0; bias && p < end - begin; ++p)
            std::copy_n(bias + to.begin, to.count, sum + p * to.count);
          bool accumulate = bias;
          for (const ConvSource<const bf16>& from : x) {
            pick_gemm_block_bf16()(end - begin, to.count, from.count / 2,
                pairs(from.data + begin * from.count), from.count / 2, 1,
                pairs(weight + from.begin * cout + to.begin * 2), cout, sum, to.count, accumulate);
            accumulate = true;
          }
          ISA_PICK(narrow)(sum, (end - begin) * to.count, to.data + begin * to.count, to.accumulate);
        }
      },
      kPixels);
}

// n numbers of a map in f32: where they are, or copied to `room`.
const float* widened(const float* x, int64_t, float*) { return x; }
const float* widened(const bf16* x, int64_t n, float* room) {
  ISA_PICK(widen)(x, n, room);
  return room;
}

// How many groups of pixels, each with partial gradients of its own. By shape only.
int64_t pixel_groups(const Conv2dSizes& s) {
  return std::clamp<int64_t>(s.n * s.h * s.w / (4 * kPixels), 1, 32);
}

int64_t rounded(int64_t floats) { return chunks(floats, 16) * 16; }
// The weight as a pass wants it: transposed, or in pairs, which take half as much.
int64_t packed_weight(const Conv2dSizes& s) { return rounded(s.cin * s.cout); }

}  // namespace

template <class X> bool can_forward(const Conv2dSizes& s, bool blocks) {
  return s.same(1) && s.cout % 16 == 0 && (blocks || std::is_same_v<X, float>);
}
template <class X> bool can_backward_data(const Conv2dSizes& s, bool blocks) {
  return s.same(1) && blocks && (s.cout % 16 == 0 || std::is_same_v<X, float>);
}

size_t workspace(const Conv2dSizes& s) {
  const int64_t groups = pixel_groups(s);
  const int64_t gradients = rounded(groups * s.weights()) + rounded(2 * groups * s.cout);
  const int64_t pieces = threads() * kPixels * (s.cin + s.cout);  // of bf16 maps, in f32
  return size_t(std::max(packed_weight(s), gradients) + pieces) * sizeof(float);
}

template <class X> void forward(const Conv2dSizes& s, ConvSources<const X> x, const float* w,
    const ConvEnd& end, X* y, float* workspace) {
  const ConvSource<X> to{y, 0, s.cout};
  const int64_t pixels = s.n * s.h * s.w;
  if constexpr (std::is_same_v<X, bf16>) {
    bf16* pairs = reinterpret_cast<bf16*>(workspace);
    pack_pairs(w, s.cout, 1, s.cin, s.cout, pairs);
    conv1x1(pixels, x, pairs, s.cout, end.bias, {&to, 1}, workspace + packed_weight(s));
  } else conv1x1(pixels, x, w, s.cout, end.bias, {&to, 1});
}

template <class X>
void backward_data(const Conv2dSizes& s, const X* dy, const float* w, ConvSources<X> dx, float* workspace) {
  const ConvSource<const X> from{dy, 0, s.cout};
  const int64_t pixels = s.n * s.h * s.w;
  if constexpr (std::is_same_v<X, bf16>) {
    bf16* pairs = reinterpret_cast<bf16*>(workspace);
    pack_pairs(w, 1, s.cout, s.cout, s.cin, pairs);
    conv1x1(pixels, {&from, 1}, pairs, s.cin, nullptr, dx, workspace + packed_weight(s));
  } else {
    parallel_for(s.cout, [&](int64_t o) {
      for (int64_t c = 0; c < s.cin; ++c) workspace[o * s.cin + c] = w[c * s.cout + o];
    });
    conv1x1(pixels, {&from, 1}, workspace, s.cin, nullptr, dx);
  }
}

template <class X> void backward_weight(
    const Conv2dSizes& s, ConvSources<const X> x, const X* dy, ConvGrad dw, ConvGrad db, float* workspace) {
  const int64_t groups = pixel_groups(s), pixels = s.n * s.h * s.w;
  float* const behind = workspace + rounded(groups * s.weights());
  double* const biases = reinterpret_cast<double*>(behind);
  float* const room = behind + rounded(2 * groups * s.cout);
  parallel_for(groups, [&](int64_t g) {
    float* sum = workspace + g * s.weights();
    std::fill_n(sum, s.weights(), 0.f);
    double* bias = biases + g * s.cout;
    std::fill_n(bias, s.cout, 0.);
    float* mine = room + thread_index() * kPixels * (s.cin + s.cout);
    for (int64_t begin = pixels * g / groups, stop = pixels * (g + 1) / groups; begin < stop;
         begin += kPixels) {
      const int64_t count = std::min(kPixels, stop - begin);
      if (db.data) ISA_PICK(direct_bias<X>)(dy + begin * s.cout, count, s.cout, s.cout, bias);
      const float* gradient = widened(dy + begin * s.cout, count * s.cout, mine);
      for (const ConvSource<const X>& in : x) {
        const float* of_x =
            widened(in.data + begin * in.count, count * in.count, mine + kPixels * (s.cout + in.begin));
        ISA_PICK(gemm_block)
        (in.count, s.cout, count, of_x, 1, in.count, gradient, s.cout, sum + in.begin * s.cout, s.cout,
            /*accumulate=*/true);
      }
    }
  });
  if (dw.data) direct::sum_groups(s, groups, workspace, /*transposed=*/false, dw);
  if (db.data) direct::sum_bias(s, groups, biases, db);
}

template bool can_forward<float>(const Conv2dSizes&, bool);
template bool can_forward<bf16>(const Conv2dSizes&, bool);
template bool can_backward_data<float>(const Conv2dSizes&, bool);
template bool can_backward_data<bf16>(const Conv2dSizes&, bool);
CONV_PASSES_FOR(float)
CONV_PASSES_FOR(bf16)

}  // namespace patchcl::matrix
