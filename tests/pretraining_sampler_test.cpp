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

TEST(Sampler, PreTrainingNeverSeesALabel) {
  const Dataset data = Dataset::open("phantom:cases=3,val=1,size=32,slices=2", {.labeled = 1});
  const int64_t labeled = data.labeled_items(), others = data.items() - labeled;
  ASSERT_GT(labeled, 0);
  const Sampler sampler(1, labeled, others, 0, data.items());
  const LoaderOptions options{.seed = 1,
      .augment = {Augmentation::elastic, 32, Fit::resize},
      .views = {{.recoloured = true}, {.own_geometry = true, .recoloured = true}}};
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
