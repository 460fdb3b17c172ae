// Nearest-neighbour zoom: index maps as scipy.ndimage.zoom(arange(n), m / n, order=0) prints them.
#include <gtest/gtest.h>

#include "data/resize.h"

using namespace patchcl;

TEST(Resize, IndexMapsAreScipys) {
  using Index = std::vector<int64_t>;
  EXPECT_EQ(zoom_index(5, 9), (Index{0, 1, 1, 2, 2, 3, 3, 4, 4}));
  EXPECT_EQ(zoom_index(9, 5), (Index{0, 2, 4, 6, 8}));
  EXPECT_EQ(zoom_index(7, 4), (Index{0, 2, 4, 6}));
  EXPECT_EQ(zoom_index(10, 4), (Index{0, 3, 6, 9}));
  EXPECT_EQ(zoom_index(3, 8), (Index{0, 0, 1, 1, 1, 1, 2, 2}));
  EXPECT_EQ(zoom_index(1, 4), (Index{0, 0, 0, 0}));
  EXPECT_EQ(zoom_index(6, 1), (Index{0}));
}

TEST(Resize, LastSampleIsTheLastPixelAlsoWhereRoundingOvershoots) {
  for (int64_t n_in : {32, 232, 248, 512})
    for (int64_t n_out : {16, 224, 256}) EXPECT_EQ(zoom_index(n_in, n_out).back(), n_in - 1);
}

TEST(Resize, ZoomsRowsAndColumnsIndependentlyAndKeepsChannelsTogether) {
  const float in[2 * 3 * 2] = {0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15};  // (2,3,2)
  float out[1 * 5 * 2];
  zoom_nearest(in, 2, 3, 2, out, 1, 5);
  const float want[] = {0, 1, 2, 3, 2, 3, 4, 5, 4, 5};  // (1,5,2)
  for (int i = 0; i < 10; ++i) EXPECT_EQ(out[i], want[i]) << i;
}

// scipy.ndimage.zoom(x, 5 / 3, order=1) and so on: linear along each axis.
TEST(Resize, BilinearIsLinearAlongBothAxes) {
  const std::vector<float> x{0, 1, 4, 8, 9, 12};  // 2 x 3
  std::vector<float> y(15);
  zoom_bilinear(x.data(), 2, 3, 1, y.data(), 3, 5);
  EXPECT_EQ(y, (std::vector<float>{0, .5f, 1, 2.5f, 4, 4, 4.5f, 5, 6.5f, 8, 8, 8.5f, 9, 10.5f, 12}));
  std::vector<float> same(6);
  zoom_bilinear(x.data(), 2, 3, 1, same.data(), 2, 3);
  EXPECT_EQ(same, x);
  zoom_bilinear(x.data(), 2, 3, 1, y.data(), 1, 1);
  EXPECT_EQ(y[0], 0);
}

TEST(Resize, BilinearLabelsMakeOtherClassesWhereTwoMeet) {
  const std::vector<uint8_t> label{0, 0, 3, 3};
  std::vector<uint8_t> y(7);
  zoom_bilinear(label.data(), 1, 4, 1, y.data(), 1, 7);
  EXPECT_EQ(y, (std::vector<uint8_t>{0, 0, 0, 1, 3, 3, 3}));
}
