// Mixing moves image, label and weight together.
#include <gtest/gtest.h>

#include <array>

#include "train/methods/mixing.h"

using namespace patchcl;

namespace {
// Images of 6x6 with two channels, all pixels alike.
LabeledImages uniform_images(int64_t n, float x, double y, float w) {
  const LabeledImages l = labeled_images(n, 6, 6, 2);
  fill(l.images, x);
  fill(l.labels, y);
  fill(l.weight, w);
  return l;
}

// Row `row` shows `inside` in the box and `outside` around it: image, label and weight.
void expect_pasted(const LabeledImages& m, int64_t row, const Box& box, const std::array<float, 3>& inside,
    const std::array<float, 3>& outside) {
  for (int64_t r = 0; r < 6; ++r)
    for (int64_t c = 0; c < 6; ++c) {
      const bool in = r >= box.top && r < box.top + box.height && c >= box.left && c < box.left + box.width;
      const std::array<float, 3>& want = in ? inside : outside;
      const int64_t at = (row * 6 + r) * 6 + c;
      EXPECT_EQ(m.images.data<float>()[at * 2 + 1], want[0]);
      EXPECT_EQ(float(m.labels.data<uint8_t>()[at]), want[1]);
      EXPECT_EQ(m.weight.data<float>()[at], want[2]);
    }
}
}  // namespace

TEST(CopyPaste, MovesImageLabelAndWeightTogether) {
  const Box box{1, 2, 4, 3};
  const LabeledImages to = labeled_images(1, 6, 6, 2);
  paste(uniform_images(1, 0, 0, 1), uniform_images(1, 9, 3, 0.5f), box, to);
  expect_pasted(to, 0, box, {9, 3, 0.5f}, {0, 0, 1});
  Rng rng(1);
  for (int i = 0; i < 50; ++i) {
    const Box b = random_box(7, 9, rng);
    EXPECT_TRUE(
        b.height == 4 && b.width == 6 && b.top >= 0 && b.left >= 0 && b.top + 4 <= 7 && b.left + 6 <= 9);
  }
}

TEST(CopyPaste, ExchangesInBothDirections) {
  const Box box{0, 3, 2, 2};
  const LabeledImages to = labeled_images(4, 6, 6, 2);
  exchange(uniform_images(3, 1, 1, 1), uniform_images(2, 5, 2, 0.5f), box, to);
  for (int64_t row : {0, 1}) expect_pasted(to, row, box, {1, 1, 1}, {5, 2, 0.5f});
  for (int64_t row : {2, 3}) expect_pasted(to, row, box, {5, 2, 0.5f}, {1, 1, 1});
}

TEST(CopyPaste, MixesEachImageWithTheOneBehindIt) {
  const Box box{2, 2, 3, 3};
  LabeledImages x = labeled_images(3, 6, 6, 2);
  fill(x.weight, 1);
  for (int64_t i = 0; i < 3; ++i) {
    fill(x.images.rows(i, 1), double(i));
    fill(x.labels.rows(i, 1), double(i));
  }
  const LabeledImages to = labeled_images(3, 6, 6, 2);
  mix_among(x, box, to);
  for (int64_t i = 0; i < 3; ++i) {
    const float own = float(i), next = float((i + 1) % 3);
    expect_pasted(to, i, box, {next, next, 1}, {own, own, 1});
  }
}
