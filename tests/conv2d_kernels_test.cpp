// The fast convolution kernels against the naive one, for every instruction set that this CPU has.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <tuple>
#include <vector>

#include "autograd/ops/conv2d_norm_act.h"
#include "tensor/arena.h"
#include "tensor/bfloat16.h"
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
  // The maps are of type `data`; f32 and bf16 ones hold the same numbers.
  explicit Convolution(const Case& c, DType data = DType::f32)
      : op_(int(c.channels.size()), true, {1, c.kernel / 2, 1}), arena_("test") {
    int64_t cin = 0;
    for (int64_t k : c.channels) {
      x_.push_back(random({c.n, c.h, c.w, k}, data));
      cin += k;
    }
    x_.push_back(random({c.kernel, c.kernel, cin, c.cout}));
    x_.push_back(random({c.cout}));
    dy_ = random({c.n, c.h, c.w, c.cout}, data);
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
    const DType data = x_[0].dtype();
    const Tensor workspace = arena_.empty({int64_t(op.workspace(shapes, data, Device::cpu))}, DType::u8);
    std::memset(workspace.raw(), 0xff, workspace.bytes());
    std::vector<Tensor> aux;
    for (const AuxSpec& a : op.aux(shapes, DType::f32)) aux.push_back(arena_.empty(a.shape, a.dtype));
    const Tensor y = arena_.empty(op.shape(shapes), data);
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
        {int64_t(std::max<size_t>(1, op_.workspace(shapes, dy_.dtype(), Device::cpu)))}, DType::u8);
    std::memset(workspace.raw(), 0xff, workspace.bytes());  // NaN: nobody may rely on it
    Results r{arena_.empty(op_.shape(shapes), dy_.dtype()), {}};
    op_.forward({x_, r.y, {}, workspace});
    std::vector<GradOut> dx;
    for (const Tensor& t : x_) {
      r.dx.push_back(arena_.empty(t.shape(), t.dtype()));
      fill(r.dx.back(), accumulate ? 3 : NAN);
      dx.push_back({r.dx.back(), accumulate});
    }
    std::memset(workspace.raw(), 0xff, workspace.bytes());
    op_.backward({x_, r.y, {}, dy_, dx, workspace});
    set_kernels(Kernels::fast);
    return r;
  }

  // The first number of the data becomes NaN, of the kind whose mantissa is full.
  void spoil() {
    const size_t size = dtype_size(x_[0].dtype());
    std::memset(x_[0].raw(), 0x7f, size), std::memset(x_[0].raw(), 0xff, size - 1);
  }

 private:
  Tensor random(const Shape& shape, DType dtype = DType::f32) {
    const Tensor t = arena_.empty(shape, dtype);
    for (int64_t i = 0; i < t.numel(); ++i) {
      const bf16 e(float(rng_.normal()));
      if (dtype == DType::f32) t.data<float>()[i] = e;
      else t.data<bf16>()[i] = e;
    }
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
    const double error = std::fabs(got.item(i) - want.item(i));
    if (!std::isfinite(error)) return INFINITY;
    worst = std::max(worst, error);
    largest = std::max(largest, std::fabs(want.item(i)));
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

// By definition; computed once for all instruction sets.
const Results& naive(const Case& c, bool accumulate, DType data) {
  static std::map<std::tuple<const Case*, bool, DType>, Results> known;
  const auto [at, is_new] = known.try_emplace({&c, accumulate, data});
  if (is_new) at->second = Convolution(c, data).run(Kernels::naive, accumulate);
  return at->second;
}
const Tensor& naive_inference(const Case& c, DType data) {
  static std::map<std::pair<const Case*, DType>, Tensor> known;
  const auto [at, is_new] = known.try_emplace({&c, data});
  if (is_new) at->second = Convolution(c, data).infer(Kernels::naive);
  return at->second;
}

struct Tolerance {
  double forward, data, weight;
};
constexpr Tolerance kDirect{2e-6, 2e-6, 2e-6}, kWinograd{1.2e-5, 1.2e-5, 1.6e-4},
    kDirectBf16{8e-3, 8e-3, 2e-6}, kWinogradBf16{3e-2, 3e-2, 3e-2}, kTilesBf16{8e-3, 8e-3, 3e-2};

class KernelTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    best_ = isa();
    if (GetParam() > best_) GTEST_SKIP() << "this CPU has no " << isa_name(GetParam());
    set_isa(GetParam());
  }
  void TearDown() override { set_isa(best_); }

  void compare(Kernels kernels, const Tolerance& tolerance, DType data = DType::f32) {
    for (const Case& c : kCases)
      for (bool accumulate : {false, true}) {
        SCOPED_TRACE(testing::Message() << c << (accumulate ? ", accumulate" : ""));
        const Results &want = naive(c, accumulate, data),
                      &got = Convolution(c, data).run(kernels, accumulate);
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

TEST_P(KernelTest, DirectOfBf16IsCloseToNaive) { compare(Kernels::direct, kDirectBf16, DType::bf16); }

TEST_P(KernelTest, FastOfBf16IsCloseToNaive) {
  compare(Kernels::fast, GetParam() == Isa::amx ? kTilesBf16 : kWinogradBf16, DType::bf16);
}

TEST_P(KernelTest, ANanStaysOneInBf16) {
  Convolution conv({1, 8, 8, {16}, 16, 3}, DType::bf16);
  conv.spoil();
  const Results got = conv.run(Kernels::fast, false);
  EXPECT_TRUE(std::isnan(got.y.item(0)));
}

TEST_P(KernelTest, InferenceEqualsNaive) {
  for (const Case& c : kCases)
    for (const auto& [kernels, data, tolerance] :
        {std::tuple(Kernels::direct, DType::f32, kDirect), {Kernels::fast, DType::f32, kWinograd},
            {Kernels::direct, DType::bf16, kDirectBf16}, {Kernels::fast, DType::bf16, kWinogradBf16}})
      EXPECT_LE(
          relative_error(Convolution(c, data).infer(kernels), naive_inference(c, data)), tolerance.forward)
          << c << dtype_name(data);
}

TEST_P(KernelTest, ThreadsDoNotChangeABit) {
  const int before = threads();
  for (const Case& c : kCases)
    for (const auto& [k, data] : {std::pair(Kernels::direct, DType::f32), {Kernels::fast, DType::f32},
             {Kernels::direct, DType::bf16}, {Kernels::fast, DType::bf16}}) {
      Convolution conv(c, data);
      set_threads(1);
      const Results one = conv.run(k, false);
      set_threads(3);
      const Results three = conv.run(k, false);
      set_threads(before);
      EXPECT_EQ(0, std::memcmp(one.y.raw(), three.y.raw(), one.y.bytes())) << c << " y";
      for (size_t i = 0; i < one.dx.size(); ++i)
        EXPECT_EQ(0, std::memcmp(one.dx[i].raw(), three.dx[i].raw(), one.dx[i].bytes()))
            << c << " gradient " << i;
    }
}

// The naive sums of the same numbers are the same before they are rounded.
TEST(Conv2dKernels, NaiveOfBf16RoundsWhatNaiveOfF32Computes) {
  for (const Case& c : kCases) {
    const Results &wide = naive(c, false, DType::f32), &half = naive(c, false, DType::bf16);
    for (int64_t i = 0; i < wide.y.numel(); ++i)
      ASSERT_EQ(half.y.item(i), double(float(bf16(wide.y.data<float>()[i])))) << c << " y " << i;
    EXPECT_EQ(relative_error(half.dx.back(), wide.dx.back()), 0) << c << " db";
  }
}

TEST(Conv2dKernels, AKernelLargerThanThePaddedImageIsRefused) {
  const auto shape = [](int64_t height, Conv2dOptions options) {
    return Conv2d(1, false, options).shape({{1, height, 8, 2}, {4, 4, 2, 3}});
  };
  EXPECT_EQ(shape(4, {.stride = 2}), (Shape{1, 1, 3, 3}));
  for (const Conv2dOptions options : {Conv2dOptions{.stride = 2}, {.stride = 4}, {.stride = 1}})
    EXPECT_THROW(shape(3, options), Error) << options.stride;
  EXPECT_EQ(shape(3, {.stride = 2, .padding = 1}), (Shape{1, 1, 4, 3}));
}

INSTANTIATE_TEST_SUITE_P(Conv2d, KernelTest, testing::ValuesIn(kIsas),
    [](const auto& info) { return std::string(isa_name(info.param)); });

}  // namespace
