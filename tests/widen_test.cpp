// Runs of bf16 as f32 and back: the rounding of every instruction set is that of bf16's constructor.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tensor/device.h"
#include "tensor/random.h"
#include "tensor/widen.h"

using namespace patchcl;

namespace {

class Widen : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > best_) GTEST_SKIP() << "this CPU has no " << isa_name(GetParam());
    set_isa(GetParam());
  }
  void TearDown() override { set_isa(best_); }
  const Isa best_ = isa();
};

// Ties to even both ways, carries into the exponent, the largest number, which rounds to infinity, and more.
std::vector<float> numbers() {
  std::vector<float> v{0.f, -0.f, 1.f, 1.00390625f, 1.01171875f, -1.00390625f, 1.99609375f, 3.4028234e38f,
      -3.4028234e38f, INFINITY, -INFINITY, 1e-30f, 2.5f, -7.0001f};
  Rng rng(5);
  while (v.size() < 77) v.push_back(float(rng.normal() * std::exp(10 * rng.normal())));
  return v;
}

void expect_same(bf16 got, float want, size_t i) {
  EXPECT_EQ(got.bits, bf16(want).bits) << i << ": " << want;
}

TEST_P(Widen, NarrowRoundsToNearestAndWidenGivesBackWhatIsThere) {
  const std::vector<float> from = numbers();
  for (size_t n : {size_t(1), size_t(15), size_t(16), size_t(33), from.size()}) {
    std::vector<bf16> half(n + 1, bf16(7.f));
    std::vector<float> wide(n + 1, 7.f);
    ISA_PICK(narrow)(from.data(), int64_t(n), half.data(), false);
    ISA_PICK(widen)(half.data(), int64_t(n), wide.data());
    for (size_t i = 0; i < n; ++i) {
      expect_same(half[i], from[i], i);
      EXPECT_EQ(wide[i], float(half[i])) << i;
    }
    EXPECT_EQ(float(half[n]), 7) << "a number behind the run";
    EXPECT_EQ(wide[n], 7) << "a number behind the run";
  }
}

TEST_P(Widen, WhatIsAddedIsRoundedOnce) {
  const std::vector<float> from = numbers();
  std::vector<bf16> to(from.size(), bf16(1.0078125f));
  ISA_PICK(narrow)(from.data(), int64_t(from.size()), to.data(), true);
  for (size_t i = 0; i < from.size(); ++i) expect_same(to[i], from[i] + 1.0078125f, i);
}

TEST_P(Widen, ANanStaysOne) {
  std::vector<float> from(17, std::nanf(""));
  std::vector<bf16> to(17);
  ISA_PICK(narrow)(from.data(), 17, to.data(), false);
  for (bf16 e : to) EXPECT_TRUE(std::isnan(float(e)));
}

INSTANTIATE_TEST_SUITE_P(Isas, Widen, testing::ValuesIn(kIsas),
    [](const auto& info) { return std::string(isa_name(info.param)); });

}  // namespace
