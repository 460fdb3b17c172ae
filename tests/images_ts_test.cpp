// imagesTs of nnU-Net and MSD: the test split with labelsTs, else images to train on; what is said of it.
#include <gtest/gtest.h>

#include "data/layouts/convert.h"
#include "tests/command_line.h"
#include "tests/small_data.h"

using namespace patchcl;
using namespace patchcl::test;
namespace fs = std::filesystem;

namespace {

class ImagesTs : public testing::Test {
 protected:
  void SetUp() override {
    try {
      read_nifti_header("/nowhere.nii");
    } catch (const Error& e) {
      if (contains(e.what(), "built without")) GTEST_SKIP();
    }
  }
  // Two training images with masks and one without, two test images with masks or without.
  void put_pictures(const std::string& dir, bool unlabeled, bool test_labels) const {
    const std::vector<uint8_t> label = square_label(1, 12, 10, 2);
    for (const std::string name : {"train/a", "train/b", "train/c", "test/d", "test/e"}) {
      if (name == "train/c" && !unlabeled) continue;
      std::vector<uint8_t> pixels(120);
      for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = uint8_t(i * 2);
      fs::create_directories(dir + "/" + fs::path(name).parent_path().string());
      write_png(dir + "/" + name + ".png", pixels.data(), 12, 10, 1);
      const bool labeled = name.starts_with("train") ? name != "train/c" : test_labels;
      if (labeled) write_png(dir + "/" + name + "_mask.png", label.data(), 12, 10, 1);
    }
  }
  const TemporaryFolder folder_;
};

TEST_F(ImagesTs, OfAConversionIsSaidToHoldWhatNothingTellsApart) {
  const auto notes = [&](const std::string& name, bool unlabeled, bool test_labels) {
    put_pictures(folder_ / name, unlabeled, test_labels);
    std::string all;
    for (const std::string& n : convert_data(folder_ / name, folder_ / name + "_nn", Target::nnunet).notes)
      all += n;
    return all;
  };
  EXPECT_EQ(notes("plain", false, true), "");
  EXPECT_EQ(open_layout(folder_ / "plain_nn").test.size(), 2u);
  EXPECT_TRUE(contains(
      notes("both", true, true), "imagesTs holds 1 training image without labels beside 2 test images"));
  EXPECT_EQ(open_layout(folder_ / "both_nn").test.size(), 3u) << "as the note says";
  EXPECT_TRUE(
      contains(notes("bare", false, false), "imagesTs is read back as unlabelled images to train on"));
  EXPECT_EQ(open_layout(folder_ / "bare_nn").train.size(), 4u) << "as the note says";
  EXPECT_TRUE(contains(notes("none", true, false), "all are read back as unlabelled images to train on"));
  put_pictures(folder_ / "told", true, true);
  const Outcome o = run_patchcl("data convert --as nnunet " + folder_ / "told" + " " + folder_ / "told_nn");
  EXPECT_TRUE(contains(o.output, "note: imagesTs holds 1 training image")) << o.output;
}

TEST_F(ImagesTs, WithoutLabelsTsIsSaidToBeTrainedOn) {
  write_nifti_set(folder_.path(), true);
  fs::create_directories(folder_ / "imagesTs");
  fs::copy(folder_ / "imagesTr/case_000_0000.nii.gz", folder_ / "imagesTs/case_009_0000.nii.gz");
  const std::string note = "imagesTs: 1 image to train on without labels; a test split only beside labelsTs";
  EXPECT_TRUE(contains(run_patchcl("data check " + folder_.path()).output, note));
  const Outcome train = run_patchcl(
      "train --data " + folder_.path() +
      " --size 16 --batch 2 --widths 2,4 --dropout 0,0 --threads 1 --iters 1 --out " + folder_ / "run");
  ASSERT_EQ(train.code, 0) << train.output;
  EXPECT_TRUE(contains(train.output, note)) << train.output;
  const Outcome o = run_patchcl("predict --threads 1 --weights " + folder_ / "run" + " --split test " +
                                folder_.path() + " " + folder_ / "out");
  EXPECT_EQ(o.code, 3) << o.output;
  EXPECT_TRUE(
      contains(o.output, "imagesTs is a test split only beside labelsTs, predict takes it as a folder"))
      << o.output;
  fs::create_directories(folder_ / "labelsTs");
  EXPECT_FALSE(contains(run_patchcl("data check " + folder_.path()).output, note));
}

}  // namespace
