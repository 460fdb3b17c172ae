// Batches without labels, as pre-training draws them (data/stream/sampler.h).
#include "data/stream/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "data/stream/dataset.h"
#include "data/stream/loader.h"

using namespace patchcl;

TEST(Sampler, ABatchWithoutLabelledItemsDrawsFromAll) {
  const Sampler sampler(5, 3, 4, 0, 7);
  std::vector<int64_t> seen = sampler.batch(2);
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_NE(sampler.batch(0), sampler.batch(1));
  EXPECT_EQ(sampler.batch(1), sampler.batch(1));
  EXPECT_THROW(Sampler(5, 3, 4, 0, 0), Error);
}

TEST(Sampler, WhereAllHaveLabelsBothStreamsGoRoundThem) {
  const Sampler sampler(5, 4, 0, 2, 4);
  for (int64_t i : {0, 1, 2}) {
    const std::vector<int64_t> batch = sampler.batch(i);
    std::vector<int64_t> unlabeled(batch.begin() + 2, batch.end());
    std::sort(unlabeled.begin(), unlabeled.end());
    EXPECT_EQ(unlabeled, (std::vector<int64_t>{0, 1, 2, 3}));
  }
  EXPECT_NE(sampler.batch(0), sampler.batch(1));
}

TEST(Sampler, UnlabelledImagesHaveNoLabelEvenWhereAllDo) {
  const Dataset data = Dataset::open("phantom:cases=2,val=1,size=32,slices=2", {.labeled = 2});
  ASSERT_EQ(data.labeled_items(), data.items());
  const Sampler sampler(1, data.items(), 0, 2, 2);
  Loader loader(data, sampler, {.seed = 1, .augment = {Augmentation::none, 32, Fit::resize}});
  const Batch b = loader.next();
  EXPECT_EQ(b.labeled, 2);
  const uint8_t* y = b.views.at(0).labels.data<uint8_t>();
  const int64_t half = b.views.at(0).labels.numel() / 2;
  EXPECT_TRUE(std::all_of(y, y + half, [](uint8_t label) { return label < 4; }));
  EXPECT_TRUE(std::all_of(y + half, y + 2 * half, [](uint8_t label) { return label == 255; }));
}

TEST(Sampler, PreTrainingNeverSeesALabel) {
  const Dataset data = Dataset::open("phantom:cases=3,val=1,size=32,slices=2", {.labeled = 1});
  const int64_t labeled = data.labeled_items(), others = data.items() - labeled;
  ASSERT_GT(labeled, 0);
  const Sampler sampler(1, labeled, others, 0, data.items());
  const LoaderOptions options{.seed = 1,
      .augment = {Augmentation::elastic, 32, Fit::resize},
      .views = {{.look = Look::recoloured}, {.look = Look::recoloured, .own_geometry = true}}};
  Loader loader(data, sampler, options);
  const Batch b = loader.next();
  EXPECT_EQ(b.labeled, 0);
  for (const View& v : b.views) {
    const uint8_t* y = v.labels.data<uint8_t>();
    EXPECT_TRUE(std::all_of(y, y + v.labels.numel(), [](uint8_t label) { return label == 255; }));
  }
  const float *first = b.views[0].images.data<float>(), *second = b.views[1].images.data<float>();
  EXPECT_FALSE(std::equal(first, first + b.images().numel(), second));
}
