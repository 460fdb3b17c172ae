// Pictures of sampling and queues: right geometry, harmless on empty queues.
#include <gtest/gtest.h>

#include "data/formats/readers.h"
#include "tensor/file.h"
#include "tests/command_line.h"

#include "tensor/random.h"
#include "train/methods/patch_sheet.h"

using namespace patchcl;

TEST(PrincipalComponents, FindTheTwoLongestAxes) {
  Rng rng(4);
  Eigen::MatrixXd x(5, 400);
  for (Eigen::Index i = 0; i < x.cols(); ++i) {
    x.col(i) << 7, 0.01 * rng.normal(), 3 * rng.normal(), 0.02 * rng.normal(), 1 * rng.normal();
  }
  const Eigen::MatrixXd flat = principal_components(x);
  ASSERT_EQ(flat.rows(), 2);
  const Eigen::VectorXd third = x.row(2).transpose().array() - x.row(2).mean(),
                        fifth = x.row(4).transpose().array() - x.row(4).mean();
  EXPECT_NEAR(flat.row(0).squaredNorm(), third.squaredNorm(), 0.02 * third.squaredNorm());
  EXPECT_NEAR(flat.row(1).squaredNorm(), fifth.squaredNorm(), 0.05 * fifth.squaredNorm());
  EXPECT_GT(flat.row(0).dot(third), 0) << "the sign follows the largest entry";
}

TEST(EmbeddingMap, DrawsEmptyAndFilledQueues) {
  EmbeddingQueue queue(3, 6, 10);
  const Canvas empty = embedding_map(queue, {"background", "left"}, "step 0");
  Rng rng(1);
  for (int i = 0; i < 20; ++i) {
    float q[6];
    for (float& e : q) e = float(rng.normal());
    queue.push(1 + i % 2, q);
  }
  const Canvas filled = embedding_map(queue, {"background", "left"}, "step 0");
  ASSERT_EQ(empty.width(), filled.width());
  const auto coloured = [](const Canvas& c) {
    int n = 0;
    for (int64_t y = 40; y < c.height(); ++y)
      for (int64_t x = 0; x < c.width(); ++x) n += c.at(x, y) != kWhite;
    return n;
  };
  EXPECT_EQ(coloured(empty), 0);
  EXPECT_GT(coloured(filled), 20);
}

TEST(Canvas, CaptionsAreTextInAnSvgAndPixelsInAPng) {
  const test::TemporaryFolder folder;
  Canvas inner(60, 20);
  inner.text(2, 3, "a < b", kWhite);
  Canvas outer(80, 40);
  outer.paste(10, 15, inner);
  outer.save(folder / "a.svg");
  const std::string svg = read_text(folder / "a.svg");
  EXPECT_NE(svg.find("<text x=\"12\" y=\"25\" fill=\"#ffffff\" font-size=\"10\">a &lt; b</text>"),
      std::string::npos)
      << svg;
  outer.save(folder / "a.png");
  const Grid png = read_grid(folder / "a.png");
  EXPECT_EQ(png.width, 80);
  EXPECT_GT(std::count(png.values.begin(), png.values.end(), 255), 20) << "white pixels of the letters";
}

TEST(PatchSheet, FramesWindowsOnTheConfidenceOfTheirClass) {
  const int64_t side = 32;
  std::vector<float> images(size_t(side * side), 0.5f), confidence;
  for (int64_t i = 0; i < side * side; ++i) confidence.insert(confidence.end(), {0.25f, 0.75f});
  const PatchImages batch{1, side, side, 1, 2, images.data(), confidence.data()};
  SampledPatches patches;
  patches.positive.push_back({.image = 0, .top = 4, .left = 8, .label = 1});
  const Canvas with =
      patch_sheet(batch, {0}, patches, {.side = 16, .stride = 8}, {"background", "heart"}, "test");
  const Canvas without =
      patch_sheet(batch, {0}, {}, {.side = 16, .stride = 8}, {"background", "heart"}, "test");
  ASSERT_EQ(with.width(), without.width());
  int changed = 0, framed = 0, black = 0;
  for (int64_t y = 0; y < with.height(); ++y)
    for (int64_t x = 0; x < with.width(); ++x)
      if (with.at(x, y) != without.at(x, y)) {
        ++changed;
        framed += with.at(x, y) == class_color(1);
        black += with.at(x, y) == kBlack;
      }
  EXPECT_EQ(changed, framed + black);
  EXPECT_EQ(framed, 2 * (4 * 16 * 5 - 4))
      << "one frame on the confidence, one on the entropy, five times enlarged";
  EXPECT_EQ(black, 2 * (4 * (16 * 5 - 2) - 4)) << "a black line inside each";
}
