// Tensor, arena, RNG and the fixed-chunk loops.
#include <gtest/gtest.h>
#include <malloc.h>

#include <limits>

#include "tensor/arena.h"
#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

using namespace patchcl;

TEST(Arena, SameSequenceGetsSameAddressesAndNoNewSegment) {
  Arena arena("test");
  std::vector<void*> first, second;
  const auto step = [&](std::vector<void*>& seen) {
    Tensor a = arena.empty({100, 7}, DType::f32), b = arena.empty({3}, DType::f64);
    seen = {a.raw(), b.raw()};
    a = Tensor();
    seen.push_back(arena.empty({50, 7}, DType::f32).raw());
  };
  step(first);
  const auto before = arena.stats();
  step(second);
  EXPECT_EQ(first, second);
  EXPECT_EQ(before.segments, arena.stats().segments);
  EXPECT_EQ(arena.stats().live, 0u);
}

TEST(Arena, FreedBlocksMergeSoThatAllMemoryIsOneBlockAgain) {
  Arena arena("test");
  arena.reserve(1 << 20);
  {
    std::vector<Tensor> t;
    for (int i = 0; i < 64; ++i) t.push_back(arena.empty({1000 + i}, DType::f32));
    for (int i = 0; i < 64; i += 2) t[i] = Tensor();
  }
  const Tensor all = arena.empty({int64_t(arena.stats().reserved)}, DType::u8);
  EXPECT_EQ(arena.stats().segments, 1u);
}

// Whatever order blocks come back in, those that merge included, the arena keeps nothing of them.
TEST(Arena, GivesBackWhatItKeepsOfEachBlock) {
  Arena arena("test");
  const auto step = [&] {
    std::vector<Tensor> t;
    for (int i = 0; i < 50; ++i) t.push_back(arena.empty({1000 + i}, DType::f32));
    for (int i = 0; i < 50; ++i) t[size_t(i * 7 % 50)] = Tensor();
  };
  step();
  const size_t before = mallinfo2().uordblks;
  for (int i = 0; i < 200; ++i) step();
  EXPECT_LT(mallinfo2().uordblks, before + 10000) << "bytes of the heap; sanitizers count none";
}

TEST(Arena, PlanMeasuresThePeakWithoutMemory) {
  const Arena plan = Arena::plan("plan");
  { Tensor a = plan.empty({1 << 20}, DType::f64), b = plan.empty({1 << 20}, DType::f64); }
  EXPECT_EQ(plan.stats().peak, size_t(16) << 20);
}

TEST(Arena, SizesThatWrapAreRefusedWithTheShape) {
  const int64_t large = int64_t(1) << 62;
  const Arena arena = Arena::plan("test");
  for (const Shape& shape : {Shape{large, 4, 4}, Shape{large, large}, Shape{large}, Shape{3, -1}}) {
    EXPECT_FALSE(shape.checked_numel()) << shape;
    EXPECT_THROW(arena.empty(shape, DType::f32), Error) << shape;
  }
  EXPECT_EQ(Shape({3, 5}).checked_numel(), 15);
  EXPECT_EQ(Shape({0, large, large}).checked_bytes(DType::f64), 0u);
}

TEST(Philox, KnownAnswers) {  // Random123, kat_vectors: philox4x32 10
  const Philox4 zero = philox(0, 0, 0, 0, 0);
  EXPECT_EQ(zero.v[0], 0x6627e8d5u);
  EXPECT_EQ(zero.v[1], 0xe169c58du);
  EXPECT_EQ(zero.v[2], 0xbc57ac4cu);
  EXPECT_EQ(zero.v[3], 0x9b00dbd8u);
  const Philox4 ones = philox(~0ull, ~0u, ~0u, ~0u, ~0u);
  EXPECT_EQ(ones.v[0], 0x408f276du);
  EXPECT_EQ(ones.v[1], 0x41c83b0eu);
}

TEST(ChunkedSum, IsBitEqualForAnyThreadCount) {
  std::vector<float> v(1000003);
  Rng rng(7);
  for (float& x : v) x = float(rng.normal());
  const auto sum = [&] { return chunked_sum<float>(int64_t(v.size()), [&](int64_t i) { return v[i]; }); };
  set_threads(1);
  const float one = sum();
  for (int t : {2, 3, 8}) {
    set_threads(t);
    EXPECT_EQ(one, sum());
  }
  set_threads(2);
}

TEST(Tensor, OneWrongNumberAnywhereIsNotFinite) {
  Arena arena("test");
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor t = arena.zeros({3 * kChunk + 5}, dtype);
    fill(t, -1e30);
    EXPECT_TRUE(all_finite(t));
    dispatch(dtype, [&](auto zero) {
      using T = decltype(zero);
      for (const int64_t at : {int64_t(0), kChunk - 1, kChunk, t.numel() - 1})
        for (const T wrong : {std::numeric_limits<T>::infinity(), -std::numeric_limits<T>::infinity(),
                 std::numeric_limits<T>::quiet_NaN()}) {
          t.data<T>()[at] = wrong;
          EXPECT_FALSE(all_finite(t)) << wrong << " at " << at;
          t.data<T>()[at] = 1;
        }
    });
  }
}

TEST(Tensor, WrongTypeAndWindowAreErrorsThatNameTheShapes) {
  Arena arena("test");
  const Tensor t = arena.zeros({2, 3}, DType::f32);
  EXPECT_THROW(t.data<double>(), Error);
  EXPECT_THROW(t.window(4, {3}), Error);
  EXPECT_THROW(t.reshape({7}), Error);
  try {
    t.reshape({7});
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("(2,3)"), std::string::npos);
  }
}
