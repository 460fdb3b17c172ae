// How images meet the network: resized as a whole, or cut at their own scale.
#include <gtest/gtest.h>

#include "tensor/file.h"
#include "tests/command_line.h"
#include "tests/small_data.h"
#include "train/setup/batches.h"

using namespace patchcl;
using namespace patchcl::test;

// Pictures that are larger than the network: cut, unless --fit says otherwise.
TEST(Fit, IsWhatTheOptionSaysInBatchesAndInWeights) {
  TemporaryFolder folder;
  const std::string data = folder / "tiles";
  write_tiles(data);
  const Dataset dataset = Dataset::open(data, {.validation = 1});
  for (const std::string fit : {"auto", "resize", "bilinear", "crop"}) {
    const std::string out = folder / fit;
    const Outcome o =
        run_patchcl("train --data " + data + " --val 1 --size 16 --widths 2,4 --dropout 0,0 --batch 1 " +
                    "--iters 1 --fit " + fit + " --out " + out);
    ASSERT_EQ(o.code, 0) << o.output;
    const Arena memory("test");
    const bool whole = fit == "resize" || fit == "bilinear";
    EXPECT_EQ(load_tensors(out + "/last.safetensors", memory).metadata.at("fit"), whole ? fit : "crop");
    TrainConfig c = from_toml(read_text(out + "/config.toml"), out);
    c.augment = Augmentation::none;
    Learner learner("supervised", {}, c.learner_options(dataset));
    BatchStream batches(learner, c, dataset);
    const Batch batch = batches.next(0);
    std::vector<float> zoomed(size_t(batch.images().numel()));
    std::vector<uint8_t> label(16 * 16);
    bool found = false;
    for (int64_t i = 0; i < dataset.items(); ++i) {
      augment(dataset.item(i), {Augmentation::none, 16, fit == "resize" ? Fit::resize : Fit::bilinear},
          Rng(1), zoomed.data(), label.data());
      found |= std::equal(zoomed.begin(), zoomed.end(), batch.images().data<float>());
    }
    EXPECT_EQ(found, whole) << fit;
  }
}

// Pictures are cut where all of them are large enough; slices of a volume always stay whole.
TEST(Fit, IsChosenByTheKindOfTheSetAndTheSizeOfEveryImage) {
  TemporaryFolder folder;
  const std::string data = folder / "tiles";
  write_tiles(data, 40, 52);
  EXPECT_EQ(Dataset::open(data, {.validation = 1}).fit(40), Fit::crop);
  EXPECT_EQ(Dataset::open(data, {.validation = 1}).fit(41), Fit::resize);
  const std::vector<uint8_t> small(30 * 52 * 3), mask(30 * 52);
  write_png(data + "/images/a_small.png", small.data(), 30, 52, 3);
  write_png(data + "/masks/a_small.png", mask.data(), 30, 52, 1);
  EXPECT_EQ(Dataset::open(data, {.validation = 1}).fit(40), Fit::resize);
  EXPECT_EQ(Dataset::open(data, {.validation = 1}).fit(30), Fit::crop);
  EXPECT_EQ(Dataset::open("phantom:cases=2,val=1,size=32,slices=3").fit(16), Fit::resize);
}
