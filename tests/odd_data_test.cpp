// Folders that a newcomer has, with one thing wrong in each: what is named, and that the advice helps.
#include <gtest/gtest.h>

#include <cmath>

#include "data/formats/readers.h"
#include "data/layouts/check.h"
#include "data/stream/loader.h"
#include "tests/command_line.h"
#include "tests/small_data.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

constexpr int64_t kHigh = 24, kWide = 32;

void put_picture(const std::string& path, const std::vector<uint8_t>& pixels) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  write_png(path, pixels.data(), kHigh, kWide, int64_t(pixels.size()) / (kHigh * kWide));
}

// A mask with a bar of each of these values, background between them.
std::vector<uint8_t> bars(const std::vector<uint8_t>& values) {
  std::vector<uint8_t> pixels(kHigh * kWide);
  for (size_t k = 0; k < values.size(); ++k)
    for (size_t y = 2; y < kHigh - 2; ++y) pixels[y * kWide + 2 * k + 1] = values[k];
  return pixels;
}

std::vector<uint8_t> image_of(int64_t channels) {
  std::vector<uint8_t> pixels;
  for (int64_t i = 0; i < kHigh * kWide * channels; ++i) pixels.push_back(uint8_t(i * 7));
  return pixels;
}

// Six grey images, "a" to "f", with masks of these values.
void put_six(const std::string& dir, const std::vector<uint8_t>& values) {
  for (const std::string name : {"a", "b", "c", "d", "e", "f"}) {
    put_picture(dir + "/images/" + name + ".png", image_of(1));
    put_picture(dir + "/masks/" + name + ".png", bars(values));
  }
}

// Exit code 3 (or that given), and each of the parts in what is printed.
void expect_said(const std::string& arguments, const std::vector<std::string>& parts, int code = 3) {
  const Outcome o = run_patchcl(arguments);
  EXPECT_EQ(o.code, code) << arguments << "\n" << o.output;
  for (const std::string& part : parts)
    EXPECT_TRUE(contains(o.output, part)) << arguments << "\nwants: " << part << "\n" << o.output;
}

const std::string kSmall =
    " --size 16 --batch 2 --iters 3 --widths 4 6 --dropout 0 0 --val-every 0 --threads 1 --out ";

}  // namespace

TEST(OddData, ColoursAreProposedAsTheyAreStored) {
  const TemporaryFolder folder;
  put_six(folder.path(), {1});
  std::vector<uint8_t> colours(kHigh * kWide * 3);
  colours[30] = colours[61] = 255;  // a red and a green pixel
  put_picture(folder / "masks/b.png", colours);
  expect_said("data check " + folder.path(), {"b.png: coloured mask", "\"0,0,0;255,0,0;0,255,0\""});
  const Dataset told = Dataset::open(folder.path(), {.validation = 0, .classes = 2});  // as `eval` does
  try {
    told.item(1);
    ADD_FAILURE() << "colours are no classes";
  } catch (const Error& e) {
    EXPECT_TRUE(contains(e.what(), "\"0,0,0;255,0,0;0,255,0\"")) << e.what();
  }
  put_picture(folder / "masks/b.png", image_of(3));
  expect_said("data check " + folder.path(), {"b.png: more than 32 colours, as an image has them"});
}

TEST(OddData, TheCommonestColourIsProposedAsBackground) {
  const TemporaryFolder folder;
  put_six(folder.path(), {1});
  std::vector<uint8_t> colours(kHigh * kWide * 3);
  colours[1] = 255;                                                 // a green pixel comes first
  for (size_t i = 300; i < 330; i += 3) colours[i] = uint8_t(255);  // ten red ones
  put_picture(folder / "masks/b.png", colours);
  expect_said("data check " + folder.path(), {"\"0,0,0;255,0,0;0,255,0\""});
}

TEST(OddData, WhiteOfSixteenBitsIsToldItsOption) {
  const TemporaryFolder folder;
  put_six(folder.path(), {1});
  std::vector<uint16_t> mask(kHigh * kWide);
  for (size_t i = 200; i < 300; ++i) mask[i] = 65535;
  for (const std::string name : {"a", "b", "c", "d", "e", "f"})
    write_png(folder / "masks/" + name + ".png", mask.data(), kHigh, kWide, 1);
  const std::string train = "train --data " + folder.path() + kSmall + folder / "run";
  for (const std::string& command : {"data check " + folder.path(), train})
    expect_said(
        command, {"label 65535 at slice 0 row 6", "number the values with --label-values 0,65535, or"});
  expect_said(train + " --label-values 0,65535", {}, 0);
  const std::vector<double> few{0, 2.5}, broken{0, std::nan("")};
  for (const std::vector<double>& values : {few, broken}) {
    try {
      to_label(grid_of(1, 1, 2, values), "x.tif");
      ADD_FAILURE() << "no class numbers";
    } catch (const Error& e) {
      EXPECT_TRUE(contains(e.what(), "with --label-values, or")) << e.what();
    }
  }
}

TEST(OddData, GreyMasksOfThreeChannelsAreStillBlackAndWhite) {
  const TemporaryFolder folder;
  std::vector<uint8_t> white(kHigh * kWide * 3);
  for (size_t i = 30; i < 60; ++i) white[i] = 255;
  put_six(folder.path(), {255});
  put_picture(folder / "masks/b.png", white);
  const DataReport r = check_data(folder.path());
  EXPECT_EQ(r.problems, std::vector<std::string>{});
  EXPECT_EQ(r.train.pixels.size(), 2u);
}

TEST(OddData, AStrayValueIsNamedWithItsMasks) {
  const TemporaryFolder folder;
  put_six(folder.path(), {1});
  std::vector<uint8_t> stray = bars({1});
  stray[40] = stray[41] = 7;
  put_picture(folder / "masks/c.png", stray);
  const std::vector<std::string> want{"masks hold 0,1,7",
      "rarest: 7 in 2 pixels of " + folder / "masks/c.png; 1 in ", "and 3 more", "--label-values 0,1,7"};
  expect_said("data check " + folder.path(), want);
  expect_said("train --data " + folder.path() + kSmall + folder / "run", want);
}

TEST(OddData, SmoothedEdgesAreNamedAndNotNumbered) {
  const TemporaryFolder folder;
  put_six(folder.path(), {255});
  std::vector<uint8_t> smoothed = bars({255}), grey;
  for (size_t i = 0; i < 180; ++i) smoothed[i] = uint8_t(70 + i);
  for (size_t i = 0; i < kHigh * kWide; ++i) grey.push_back(uint8_t(i));
  for (const auto& [mask, said] :
      {std::pair(smoothed, "182 values (0,70,71 ... 255)"), std::pair(grey, "256 values (0,1,2 ... 255)")}) {
    put_picture(folder / "masks/c.png", mask);
    const std::vector<std::string> want{std::string("masks hold ") + said, "more than 32 classes",
        "of them in " + folder / "masks/c.png", "edges were smoothed",
        "threshold masks of black and white at 128", "nearest pixel"};
    expect_said("data check " + folder.path(), want);
    expect_said("train --data " + folder.path() + kSmall + folder / "run", want);
    EXPECT_LT(run_patchcl("data check " + folder.path()).output.size(), 2500u) << "values are listed";
  }
}

TEST(OddData, MasksOfBackgroundAloneAreAProblem) {
  const TemporaryFolder folder;
  put_six(folder.path(), {0});
  expect_said("data check " + folder.path(), {"problem: no mask holds anything but 0", "\n1 problem\n"});
  const std::string train = "train --data " + folder.path() + kSmall + folder / "run";
  expect_said(train, {"the 5 labelled training masks hold nothing but 0", "--labeled"});
  put_picture(folder / "masks/f.png", bars({1}));  // the case that is held out
  expect_said(train, {"the 5 labelled training masks hold nothing but 0"});
  put_picture(folder / "masks/b.png", bars({1}));
  expect_said("data check " + folder.path(), {"\n0 problems\n"}, 0);
  expect_said(train, {}, 0);
}

TEST(OddData, AnImageOfOtherChannelsIsNamed) {
  const TemporaryFolder folder;
  put_six(folder.path(), {1});
  put_picture(folder / "images/d.png", image_of(3));
  expect_said(
      "data check " + folder.path(), {"images/d.png: 3 channel(s), 5 other images have 1", "\n1 problem\n"});
  const Dataset data = Dataset::open(folder.path(), {.validation = 1});
  Loader loader(data, Sampler(1, 5, 0, 5, 0), {.augment = {Augmentation::none, 16, Fit::resize}});
  try {
    loader.next();
    ADD_FAILURE() << "one image has three channels, the others one";
  } catch (const Error& e) {
    for (const char* part : {"d.png has 3 channel(s)", "a.png has 1", "data check"})
      EXPECT_TRUE(contains(e.what(), part)) << e.what();
  }
}

TEST(OddData, AMaskWithoutAnImageIsAProblemWhereverItLies) {
  const TemporaryFolder apart, beside;
  put_six(apart.path(), {1});
  for (const std::string wrong : {"masks/bb.png", "masks/cc.png"}) put_picture(apart / wrong, bars({1}));
  std::filesystem::remove(apart / "masks/b.png");
  expect_said("data check " + apart.path(),
      {"5 masks in ", "2 more without an image", "problem: " + apart / "masks/bb.png: a mask, but no image",
          "problem: " + apart / "masks/cc.png", "\n2 problems\n"});
  for (const std::string name : {"a", "b"}) put_picture(beside / name + ".png", image_of(1));
  for (const std::string name : {"a", "bb"}) put_picture(beside / name + "_mask.png", bars({1}));
  expect_said("data check " + beside.path(), {"bb_mask.png: a mask, but no image"});
}

TEST(OddData, NumberedObjectsAreSeenAsSuch) {
  const TemporaryFolder folder;
  const std::string note = "--instance-masks true reads them as objects";
  put_six(folder.path(), {1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  expect_said("data check " + folder.path(), {note}, 0);
  expect_said("train --data " + folder.path() + kSmall + folder / "run", {note}, 0);
  // As many classes, but each in two pieces.
  put_six(folder.path(), {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6});
  const Outcome classes = run_patchcl("data check " + folder.path());
  EXPECT_FALSE(contains(classes.output, note)) << classes.output;
}

TEST(OddData, AnEmptySplitSaysWhatThereIs) {
  const TemporaryFolder folder;
  const std::string data = folder / "own", run = folder / "run", weights = " --weights " + run;
  put_six(data, {1});
  expect_said("train --data " + data + " --val 2" + kSmall + run, {}, 0);
  const std::vector<std::string> want{"case in its test split; --split train has 4; --split val has 2"};
  expect_said("eval --val 2 --split test --data " + data + weights, want);
  expect_said("predict --val 2 --split test " + data + " " + folder / "out" + weights, want);
  expect_said("eval --val 0 --data " + data + weights, {"in its val split; --split train has 6", "--val N"});
  expect_said("predict " + data + " " + folder / "out" + weights,
      {"it is a data set: say " + data + "/images for its images, or --split"});
  expect_said("predict " + data + "/images " + folder / "out" + weights, {}, 0);
}

TEST(OddData, LabelsOutsideTheClassesMayBeObjects) {
  const TemporaryFolder folder;
  const std::string data = folder / "own", run = folder / "run";
  put_six(data, {1, 2, 3});
  expect_said("train --instance-masks true --border 2 --data " + data + kSmall + run, {}, 0);
  const std::string alone = folder / "alone.safetensors";  // a run folder would tell how to read the masks
  std::filesystem::copy_file(run + "/last.safetensors", alone);
  const std::string eval = "eval --data " + data + " --weights " + alone;
  expect_said(eval, {"label 3 outside the 2 classes", "--instance-masks true"});
  expect_said(eval + " --instance-masks true", {}, 0);
}

TEST(OddData, CalibrationSaysWhichImagesItWantsAndHowManyItSaw) {
  const TemporaryFolder folder;
  const std::string weights =
      " --weights weights/acdc-7-base.safetensors --out " + folder / "int8.safetensors";
  put_six(folder / "grey", {1});
  put_six(folder / "colour", {1});
  for (const std::string name : {"a", "b", "c", "d", "e", "f"})
    put_picture(folder / "colour/images/" + name + ".png", image_of(3));
  expect_said("calibrate --data " + folder / "colour" + weights,
      {"colour has 3 channel(s), the network was trained with 1"});
  expect_said("calibrate --val 1 --batch 4 --data " + folder / "grey" + weights,
      {"ranges from 5 training images"}, 0);
}
