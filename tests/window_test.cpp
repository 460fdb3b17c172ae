// Windows of images (--window): a cut of the whole augmented image, the same for image and label, placed as
// asked, and learned from while predictions are made on whole images.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "data/stream/augment.h"
#include "tensor/io.h"
#include "tests/command_line.h"
#include "train/evaluate/progress.h"
#include "train/methods/phase.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

constexpr int64_t kSize = 32, kWindow = 12, kPlaces = kSize - kWindow + 1;

// An image whose every pixel has a value of its own; foreground at one pixel, or nowhere.
struct Numbered {
  std::vector<float> image = std::vector<float>(kSize * kSize);
  std::vector<uint8_t> label = std::vector<uint8_t>(kSize * kSize);
  explicit Numbered(int64_t foreground = -1) {
    for (size_t m = 0; m < image.size(); ++m) image[m] = float(m);
    if (foreground >= 0) label[size_t(foreground)] = 1;
  }
  Slice slice() const {
    Slice s;
    s.height = s.width = kSize;
    s.image = image.data();
    s.label = label.data();
    return s;
  }
};

// Where the window of this seed lies, as row * kSize + column of its first pixel.
int64_t place(const Numbered& n, WindowAt at, uint64_t seed) {
  std::vector<float> x(kWindow * kWindow);
  std::vector<uint8_t> y(kWindow * kWindow);
  augment(n.slice(), {Augmentation::none, kSize, Fit::resize, kWindow, at}, Rng(seed), x.data(), y.data());
  const int64_t first = int64_t(x[0]);
  for (int64_t i = 0; i < kWindow * kWindow; ++i) {
    const int64_t m = first + i / kWindow * kSize + i % kWindow;
    EXPECT_EQ(x[size_t(i)], float(m));
    EXPECT_EQ(y[size_t(i)], n.label[size_t(m)]);
  }
  return first;
}

// How often each row is the window's first.
std::vector<double> rows(WindowAt at, int seeds) {
  std::vector<double> share(kPlaces);
  const Numbered n;
  for (int seed = 0; seed < seeds; ++seed)
    share.at(size_t(place(n, at, uint64_t(seed)) / kSize)) += 1. / seeds;
  return share;
}

}  // namespace

TEST(Windows, AreCutsOfTheWholeAugmentedImage) {
  const Numbered n(40);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<float> whole(kSize * kSize), x(kWindow * kWindow);
    std::vector<uint8_t> y(kSize * kSize);
    augment(n.slice(), {Augmentation::ssl4mis, kSize}, Rng(seed), whole.data(), y.data());
    augment(n.slice(), {Augmentation::ssl4mis, kSize, Fit::resize, kWindow}, Rng(seed), x.data(), y.data());
    bool found = false;
    for (int64_t first = 0; first < kPlaces * kSize && !found; ++first) {
      found = first % kSize < kPlaces;
      for (int64_t i = 0; i < kWindow * kWindow && found; ++i)
        found = x[size_t(i)] == whole[size_t(first + i / kWindow * kSize + i % kWindow)];
    }
    EXPECT_TRUE(found) << "seed " << seed;
  }
}

TEST(Windows, LieAnywhereOrTriangularlyAboutTheCentre) {
  const std::vector<double> uniform = rows(WindowAt::uniform, 4000), centre = rows(WindowAt::centre, 4000);
  EXPECT_GT(*std::min_element(uniform.begin(), uniform.end()), 0.5 / kPlaces);
  EXPECT_LT(*std::max_element(uniform.begin(), uniform.end()), 1.5 / kPlaces);
  double outer = 0, inner = 0, mean = 0;
  for (int64_t p = 0; p < kPlaces; ++p) {
    (std::abs(p - kPlaces / 2) > kPlaces / 4 ? outer : inner) += centre[size_t(p)];
    mean += double(p) * centre[size_t(p)];
  }
  EXPECT_NEAR(inner, 0.75, 0.05);
  EXPECT_NEAR(outer, 0.25, 0.05);
  EXPECT_NEAR(mean, double(kPlaces - 1) / 2, 0.5);
}

TEST(Windows, LieAroundTheForegroundInHalfOfTheImagesWhereThereIsSome) {
  const int64_t row = 14, column = 15, expected = (row - kWindow / 2) * kSize + column - kWindow / 2;
  const Numbered middle(row * kSize + column), corner(0), empty;
  int around = 0, in_corner = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    around += place(middle, WindowAt::foreground, seed) == expected;
    in_corner += place(corner, WindowAt::foreground, seed) == 0;
    EXPECT_EQ(place(empty, WindowAt::foreground, seed), place(empty, WindowAt::uniform, seed));
  }
  EXPECT_NEAR(around, 200, 40);
  EXPECT_NEAR(in_corner, 200, 40);
}

namespace {
const std::string kSmall =
    "train --data phantom:cases=4,val=1,size=48,slices=3 --labeled 2 --size 48 --batch 4 --widths 4 8 "
    "--dropout 0.1 0.2 --seed 5 --threads 1 --val-every 0 --log-every 1 ";
}

TEST(Windows, TrainTheNetworkWhichIsScoredOnWholeImages) {
  TemporaryFolder folder;
  for (const char* at : {"centre", "uniform", "foreground"}) {
    const std::string out = folder / at;
    const Outcome o = run_patchcl(
        kSmall + "--method mean-teacher --iters 6 --window 16 --window-at " + at + " --out " + out);
    ASSERT_EQ(o.code, 0) << o.output;
    EXPECT_TRUE(contains(o.output, "16x16")) << "the memory plan is that of windows: " << o.output;
    const TensorFile file = load_tensors(out + "/last.safetensors", Arena("test"));
    EXPECT_EQ(file.metadata.at("size"), "48");
    EXPECT_TRUE(std::filesystem::exists(out + "/results.json"));
    EXPECT_EQ(run_patchcl("audit run " + out).code, 0);
  }
}

TEST(Windows, GiveWayToWholeImagesAtTheEndOfTheRun) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  const Outcome o = run_patchcl(kSmall +
                                "--method mean-teacher --iters 10 --window 16 --whole-share 0.4 "
                                "--whole-batch 2 --audit-every 5 --out " +
                                run);
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "step 6  training, whole images, 4 steps from the last weights"))
      << o.output;
  const Outcome audit = run_patchcl("audit run " + run);
  EXPECT_EQ(audit.code, 0) << audit.output;
  EXPECT_TRUE(contains(audit.output, "2 images of 48x48")) << audit.output;
}

// Pre-training is cut in two; its best weights come from its first part, self-training behind its second.
TEST(Windows, ThatEndBeforeAPhaseFromTheBestLeaveItTheBestOptimiser) {
  TemporaryFolder folder;
  const Outcome o = run_patchcl(kSmall +
                                "--method bcp --iters 12 --pre-training 0.5 --window 16 --whole-share 0.84 "
                                "--whole-batch 4 --val-every 1 --out " +
                                (folder / "run"));
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "step 2  pre-training, whole images, 4 steps")) << o.output;
  EXPECT_TRUE(
      contains(o.output, "step 6  self-training, whole images, 6 steps from the best weights of step"))
      << o.output;
}

TEST(Windows, ThatEndCutThePhaseTheyEndIn) {
  RunShape run{.iterations = 10, .batch = 12, .size = 16};
  run.whole_share = 0.3;
  run.whole_size = 48;
  run.whole_batch = 4;
  const std::vector<Phase> own{{.name = "a", .iterations = 4, .labeled = 12},
      {.name = "b", .iterations = 6, .labeled = 3, .unlabeled = 9, .keep_optimizer = false}};
  const std::vector<Phase> all = planned(own, run);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].size, 16);
  EXPECT_EQ(all[1].iterations, 3);
  EXPECT_FALSE(all[1].keep_optimizer);
  EXPECT_EQ(all[1].stage, 1u);
  const Phase& last = all[2];
  EXPECT_EQ(last.name, "b, whole images");
  EXPECT_EQ(last.iterations, 3);
  EXPECT_EQ(last.size, 48);
  EXPECT_EQ(last.labeled, 1);
  EXPECT_EQ(last.unlabeled, 3);
  EXPECT_TRUE(last.keep_optimizer) << "it only goes on";
  EXPECT_EQ(last.stage, 1u);
  const double window = 16 * 16, whole = 48 * 48;
  EXPECT_EQ(work_of(all, 5).images, 5 * 12);
  EXPECT_EQ(work_of(all, 5).cost, 5 * 12 * window);
  EXPECT_EQ(work_of(all, 10).images, 7 * 12 + 3 * 4);
  EXPECT_EQ(work_of(all, 10).cost, 7 * 12 * window + 3 * 4 * whole);
  run.whole_share = 1;
  EXPECT_EQ(planned(own, run).size(), 2u);
  EXPECT_FALSE(planned(own, run)[1].keep_optimizer) << "it begins with whole images";
  run.whole_share = 0;
  EXPECT_EQ(planned(own, run).size(), 2u);
}

TEST(Windows, OfNoUseAreErrorsThatSaySo) {
  const auto message = [](const std::string& more) {
    const Outcome o = run_patchcl(kSmall + "--iters 1 --out /nowhere/at/all " + more);
    EXPECT_EQ(o.code, 2) << o.output;
    return o.output;
  };
  EXPECT_TRUE(contains(message("--window 64"), "--window 64 is larger than the images of --size 48"));
  EXPECT_TRUE(contains(message("--window-at uniform"), "no effect without --window"));
  EXPECT_TRUE(contains(message("--whole-share 0.1"), "no effect without --window"));
  EXPECT_TRUE(contains(message("--window 16 --whole-batch 2"), "no effect without --whole-share"));
  EXPECT_TRUE(contains(message("--window 15"), "mend --size or --window"));
  for (const char* method : {"bcp", "unimatch"})
    EXPECT_TRUE(
        contains(message("--window 16 --whole-share 0.5 --whole-batch 1 --method " + std::string(method)),
            "takes halves; try 4"));
}
