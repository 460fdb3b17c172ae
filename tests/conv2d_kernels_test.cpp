// The fast convolution kernels against the naive one, for every instruction set that this CPU has.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "autograd/ops/conv2d_norm_act.h"
#include "tensor/arena.h"
#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

using namespace patchcl;

namespace {

struct Case {
  int64_t n, h, w;
  std::vector<int64_t> channels;  // per data input
  int64_t cout, kernel;
};

std::ostream& operator<<(std::ostream& s, const Case& c) {
  s << '(' << c.n << ',' << c.h << ',' << c.w << ",[";
  for (int64_t k : c.channels) s << k << ' ';
  return s << "]) -> " << c.cout << ", kernel " << c.kernel;
}

// Everything that one convolution computes: y, then the gradients of the inputs, the weight and the bias.
struct Results {
  Tensor y;
  std::vector<Tensor> dx;
};

class Convolution {
 public:
  explicit Convolution(const Case& c)
      : op_(int(c.channels.size()), true, {1, c.kernel / 2, 1}), arena_("test") {
    int64_t cin = 0;
    for (int64_t k : c.channels) {
      x_.push_back(random({c.n, c.h, c.w, k}));
      cin += k;
    }
    x_.push_back(random({c.kernel, c.kernel, cin, c.cout}));
    x_.push_back(random({c.cout}));
    dy_ = random({c.n, c.h, c.w, c.cout});
  }

  // With batch norm and leaky ReLU, as in inference.
  Tensor infer(Kernels k) {
    set_kernels(k);
    const Conv2dNormAct op(int(x_.size()) - 2, {.padding = x_[x_.size() - 2].shape()[0] / 2}, 1e-5, 0.1);
    std::vector<Tensor> x = x_;
    for (int i = 0; i < 4; ++i) x.push_back(random(x_.back().shape()));
    for (int64_t c = 0; c < x.back().numel(); ++c)
      x.back().data<float>()[c] = 0.5f + std::fabs(x.back().data<float>()[c]);
    Shapes shapes;
    for (const Tensor& t : x) shapes.push_back(t.shape());
    const Tensor workspace =
        arena_.empty({int64_t(op.workspace(shapes, DType::f32, Device::cpu))}, DType::u8);
    std::memset(workspace.raw(), 0xff, workspace.bytes());
    std::vector<Tensor> aux;
    for (const AuxSpec& a : op.aux(shapes, DType::f32)) aux.push_back(arena_.empty(a.shape, a.dtype));
    const Tensor y = arena_.empty(op.shape(shapes), DType::f32);
    op.forward({x, y, aux, workspace});
    set_kernels(Kernels::fast);
    return y;
  }

  // `start` fills outputs before the call; with accumulate it is part of the result.
  Results run(Kernels k, bool accumulate) {
    set_kernels(k);
    Shapes shapes;
    for (const Tensor& t : x_) shapes.push_back(t.shape());
    const Tensor workspace = arena_.empty(
        {int64_t(std::max<size_t>(1, op_.workspace(shapes, DType::f32, Device::cpu)))}, DType::u8);
    std::memset(workspace.raw(), 0xff, workspace.bytes());  // NaN: nobody may rely on it
    Results r{arena_.empty(op_.shape(shapes), DType::f32), {}};
    op_.forward({x_, r.y, {}, workspace});
    std::vector<GradOut> dx;
    for (const Tensor& t : x_) {
      r.dx.push_back(arena_.empty(t.shape(), DType::f32));
      fill(r.dx.back(), accumulate ? 3 : NAN);
      dx.push_back({r.dx.back(), accumulate});
    }
    std::memset(workspace.raw(), 0xff, workspace.bytes());
    op_.backward({x_, r.y, {}, dy_, dx, workspace});
    set_kernels(Kernels::fast);
    return r;
  }

  // The first number of the data becomes NaN, of the kind whose mantissa is full.
  void spoil() { std::memset(x_[0].raw(), 0x7f, sizeof(float)), std::memset(x_[0].raw(), 0xff, 3); }

 private:
  Tensor random(const Shape& shape) {
    const Tensor t = arena_.empty(shape, DType::f32);
    for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = float(rng_.normal());
    return t;
  }
  Conv2d op_;
  Arena arena_;
  Rng rng_{11};
  std::vector<Tensor> x_;
  Tensor dy_;
};

double relative_error(const Tensor& got, const Tensor& want) {
  double worst = 0, largest = 0;
  for (int64_t i = 0; i < want.numel(); ++i) {
    const double error = std::fabs(double(got.data<float>()[i]) - double(want.data<float>()[i]));
    if (!std::isfinite(error)) return INFINITY;
    worst = std::max(worst, error);
    largest = std::max(largest, std::fabs(double(want.data<float>()[i])));
  }
  return worst / largest;
}

const std::vector<Case> kCases = {
    // 3x3: sizes around the tiles' widths and heights, one pixel, one row, one column, several images
    {1, 1, 1, {16}, 16, 3}, {2, 1, 5, {16}, 32, 3}, {1, 7, 1, {32}, 16, 3}, {1, 2, 2, {16}, 16, 3},
    {2, 3, 4, {16}, 48, 3}, {1, 5, 7, {32}, 32, 3}, {1, 9, 8, {16}, 32, 3}, {1, 8, 16, {48}, 16, 3},
    {2, 13, 17, {16}, 16, 3}, {1, 19, 23, {32}, 64, 3}, {1, 6, 33, {64}, 48, 3}, {3, 12, 12, {80}, 96, 3},
    {1, 16, 16, {256}, 128, 3}, {1, 40, 41, {16}, 32, 3},
    // a concatenation
    {1, 9, 11, {16, 16}, 16, 3}, {2, 12, 10, {32, 16}, 32, 3}, {1, 8, 8, {16, 32, 48}, 64, 3},
    // few channels in or out: the first layer and the head
    {2, 17, 19, {1}, 16, 3}, {1, 16, 24, {3}, 16, 3}, {1, 10, 9, {2, 5}, 32, 3}, {2, 17, 19, {16}, 4, 3},
    {1, 16, 21, {16}, 2, 3}, {1, 5, 3, {32}, 7, 3}, {1, 4, 4, {16, 16}, 20, 3}, {1, 6, 5, {16}, 1, 3},
    // 1x1
    {1, 1, 1, {16}, 16, 1}, {2, 7, 9, {32}, 16, 1}, {1, 16, 16, {256}, 128, 1}, {3, 5, 5, {16, 48}, 80, 1},
    {1, 9, 9, {5}, 16, 1},
    // no multiple of anything: the general path
    {1, 7, 6, {5}, 7, 3}, {2, 6, 9, {3, 4}, 5, 5}};

struct Tolerance {
  double forward, data, weight;
};
constexpr Tolerance kDirect{2e-6, 2e-6, 2e-6}, kWinograd{1.2e-5, 1.2e-5, 1.6e-4},
    kWinogradBf16{2.5e-2, 2.5e-2, 3e-2};

// --math bf16 for a scope.
struct Bf16 {
  Bf16() { set_math_mode(MathMode::bf16); }
  ~Bf16() { set_math_mode(MathMode::f32); }
};

class KernelTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    best_ = isa();
    if (GetParam() > best_) GTEST_SKIP() << "this CPU has no " << isa_name(GetParam());
    set_isa(GetParam());
  }
  void TearDown() override { set_isa(best_); }

  void compare(Kernels kernels, const Tolerance& tolerance) {
    for (const Case& c : kCases)
      for (bool accumulate : {false, true}) {
        SCOPED_TRACE(testing::Message() << c << (accumulate ? ", accumulate" : ""));
        Convolution conv(c);
        const Results want = conv.run(Kernels::naive, accumulate), got = conv.run(kernels, accumulate);
        EXPECT_LE(relative_error(got.y, want.y), tolerance.forward) << "y";
        for (size_t i = 0; i < c.channels.size(); ++i)
          EXPECT_LE(relative_error(got.dx[i], want.dx[i]), tolerance.data) << "dx " << i;
        EXPECT_LE(relative_error(got.dx[c.channels.size()], want.dx[c.channels.size()]), tolerance.weight)
            << "dw";
        EXPECT_LE(relative_error(got.dx.back(), want.dx.back()), kDirect.weight) << "db";
      }
  }

 private:
  Isa best_;
};

TEST_P(KernelTest, DirectEqualsNaive) { compare(Kernels::direct, kDirect); }

TEST_P(KernelTest, WinogradEqualsNaive) { compare(Kernels::fast, kWinograd); }

TEST_P(KernelTest, WinogradWithBf16FactorsIsCloseToNaive) {
  const Bf16 math;
  compare(Kernels::fast, kWinogradBf16);
}

// Otherwise the test above would pass with a setting that nobody reads.
TEST_P(KernelTest, Bf16FactorsRoundMoreCoarselyThanF32) {
  const Case c{1, 16, 16, {32}, 32, 3};
  const Results want = Convolution(c).run(Kernels::naive, false);
  const Bf16 math;
  const Results got = Convolution(c).run(Kernels::fast, false);
  EXPECT_GT(relative_error(got.y, want.y), 1e-3);
  EXPECT_GT(relative_error(got.dx[0], want.dx[0]), 1e-3);
  EXPECT_GT(relative_error(got.dx[1], want.dx[1]), 1e-3);
}

TEST_P(KernelTest, ANanStaysOneInBf16) {
  const Case c{1, 8, 8, {16}, 16, 3};
  const Bf16 math;
  Convolution conv(c);
  conv.spoil();
  const Results got = conv.run(Kernels::fast, false);
  EXPECT_TRUE(std::isnan(got.y.data<float>()[0]));
}

TEST_P(KernelTest, InferenceEqualsNaive) {
  for (const Case& c : kCases)
    for (auto [kernels, tolerance] :
        {std::pair(Kernels::direct, kDirect), std::pair(Kernels::fast, kWinograd)})
      EXPECT_LE(relative_error(Convolution(c).infer(kernels), Convolution(c).infer(Kernels::naive)),
          tolerance.forward)
          << c;
}

TEST_P(KernelTest, ThreadsDoNotChangeABit) {
  const int before = threads();
  for (const Case& c : kCases)
    for (const auto& [k, math] : {std::pair(Kernels::direct, MathMode::f32), {Kernels::fast, MathMode::f32},
             {Kernels::fast, MathMode::bf16}}) {
      Convolution conv(c);
      set_math_mode(math);
      set_threads(1);
      const Results one = conv.run(k, false);
      set_threads(3);
      const Results three = conv.run(k, false);
      set_threads(before);
      set_math_mode(MathMode::f32);
      EXPECT_EQ(0, std::memcmp(one.y.raw(), three.y.raw(), one.y.bytes())) << c << " y";
      for (size_t i = 0; i < one.dx.size(); ++i)
        EXPECT_EQ(0, std::memcmp(one.dx[i].raw(), three.dx[i].raw(), one.dx[i].bytes()))
            << c << " gradient " << i;
    }
}

INSTANTIATE_TEST_SUITE_P(Conv2d, KernelTest, testing::Values(Isa::plain, Isa::avx2, Isa::avx512),
    [](const auto& info) { return std::string(isa_name(info.param)); });

}  // namespace
