// Folders as people have them, each small and made here: what is an image, what its mask, which split.
#include <gtest/gtest.h>

#include <set>

#include "data/layouts/check.h"
#include "data/layouts/convert.h"
#include "data/formats/readers.h"
#include "data/stream/dataset.h"
#include "tests/command_line.h"
#include "tests/small_data.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

using Ids = std::vector<std::string>;
Ids ids(const std::vector<Source>& sources) {
  Ids all;
  for (const Source& s : sources) all.push_back(s.id + (s.labeled() ? "" : "?"));
  return all;
}

// A grey image of 6x8 pixels at DIR/NAME.
void put(const std::string& path, const std::vector<uint8_t>& values = {0, 1}) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::vector<uint8_t> pixels;
  for (size_t i = 0; i < 48; ++i) pixels.push_back(values[i % values.size()]);
  write_png(path, pixels.data(), 6, 8, 1);
}
void put_all(const TemporaryFolder& folder, const Ids& names) {
  for (const std::string& name : names) put(folder / name);
}

struct Arrangement {
  const char* name;
  Ids files, train, validation, test;  // "x?": without a label
};
const Arrangement kArrangements[] = {
    {"Today", {"images/a.png", "masks/a.png", "images/b.png"}, {"a", "b?"}, {}, {}},
    {"Singular", {"image/a.png", "mask/a_mask.png"}, {"a"}, {}, {}},
    {"SplitOutside",
        {"train/images/a.png", "train/masks/a.png", "val/images/b.png", "val/masks/b.png",
            "test/images/c.png"},
        {"a"}, {"b"}, {"c?"}},
    {"SplitInside", {"images/train/a.png", "masks/train/a.png", "images/val/b.png", "masks/val/b.png"}, {"a"},
        {"b"}, {}},
    {"SideBySide",
        {"a.png", "a_mask.png", "b.png", "b_label.png", "c.png", "c_seg.png", "d.png", "d_anno.png", "e.png"},
        {"a", "b", "c", "d", "e?"}, {}, {}},
    {"SideBySideInSplits", {"train/a.png", "train/a_seg.png", "test/b.png", "test/b_seg.png"}, {"a"}, {},
        {"b"}},
    {"Unlabeled", {"images/a.png", "labels/a.png", "unlabeled/u.png"}, {"a", "u?"}, {}, {}},
    {"NumbersStartAnew", {"train/images/1.png", "train/masks/1.png", "val/images/1.png", "val/masks/1.png"},
        {"train_1"}, {"val_1"}, {}},
};
class Arranged : public testing::TestWithParam<Arrangement> {};
INSTANTIATE_TEST_SUITE_P(Layouts, Arranged, testing::ValuesIn(kArrangements),
    [](const auto& info) { return std::string(info.param.name); });

TEST_P(Arranged, IsFoundWithItsSplitsAndItsUnlabelledImages) {
  const Arrangement& a = GetParam();
  TemporaryFolder folder;
  put_all(folder, a.files);
  const Layout layout = open_layout(folder.path());
  EXPECT_EQ(ids(layout.train), a.train);
  EXPECT_EQ(ids(layout.validation), a.validation);
  EXPECT_EQ(ids(layout.test), a.test);
  EXPECT_FALSE(layout.notes.empty());
}

// The message of whatever is refused; empty when nothing is.
template <class F> std::string refused(const F& fn) {
  try {
    fn();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Layouts, AnUnknownFolderIsToldWhatWasSeenAndWhatIsWanted) {
  TemporaryFolder folder;
  write_file(folder / "notes.txt", "x");
  const std::string why = refused([&] { open_layout(folder.path()); });
  EXPECT_TRUE(contains(why, "it holds notes.txt") && contains(why, "images/ with masks/")) << why;
  write_file(folder / "scan.dcm", "x");
  EXPECT_TRUE(contains(refused([&] { open_layout(folder.path()); }), "dcm2niix"));
  write_file(folder / "scan", std::string(128, ' ') + "DICM");
  EXPECT_TRUE(contains(refused([&] { format_of(folder / "scan"); }), "dcm2niix"));
}

TEST(Layouts, MasksThatAreNoClassNumbersStopWithTheOptionThatNumbersThem) {
  TemporaryFolder folder;
  for (const char* name : {"a", "b", "c"}) {
    put(folder / "images/" + name + ".png", {0, 90, 200});
    put(folder / "masks/" + name + ".png", {0, 128, 255});
  }
  const std::string why = refused([&] { Dataset::open(folder.path(), {.validation = 1}); });
  EXPECT_TRUE(contains(why, "--label-values 0,128,255")) << why;
  EXPECT_TRUE(contains(check_data(folder.path()).problems.at(0), "--label-values 0,128,255"));
  DatasetOptions options;
  options.validation = 1;
  options.read.label_values = "0,128,255";
  const Dataset data = Dataset::open(folder.path(), options);
  EXPECT_EQ(data.classes(), 3);
  EXPECT_EQ(data.item(0).label[1], 1);
  EXPECT_EQ(data.item(0).label[2], 2);
  options.read.label_values = "0,128";
  EXPECT_TRUE(contains(refused([&] { Dataset::open(folder.path(), options).item(0); }), "255 in a mask"));
}

TEST(Layouts, ColoursAreNumberedByTheirTable) {
  TemporaryFolder folder;
  put_all(folder, {"images/a.png", "images/b.png"});
  std::vector<uint8_t> rgb(6 * 8 * 3);
  rgb[3] = 255;
  std::filesystem::create_directories(folder / "masks");
  for (const char* name : {"/masks/a.png", "/masks/b.png"})
    write_png(folder.path() + name, rgb.data(), 6, 8, 3);
  EXPECT_TRUE(contains(
      refused([&] { Dataset::open(folder.path(), {.validation = 1}); }), "--label-colors \"0,0,0;255,0,0\""));
  DatasetOptions options;
  options.validation = 1;
  options.read.label_colors = "0,0,0;255,0,0";
  const Dataset data = Dataset::open(folder.path(), options);
  EXPECT_EQ(data.classes(), 2);
  EXPECT_EQ(data.item(0).label[0], 0);
  EXPECT_EQ(data.item(0).label[1], 1);
}

// Ten patients of two images each.
void put_patients(const TemporaryFolder& folder) {
  for (int p = 0; p < 10; ++p)
    for (const char* image : {"a", "b"}) {
      const std::string name = std::string(1, 'p') + std::to_string(p) + image + ".png";
      put_all(folder, {"images/" + name, "masks/" + name});
    }
}
DatasetOptions by_patient() {
  DatasetOptions options;
  options.read.group = "^(p[0-9])";
  return options;
}

TEST(Layouts, APatientIsWhoTheGroupSaysAndLiesInOneSplit) {
  TemporaryFolder folder;
  put_patients(folder);
  DatasetOptions options = by_patient();
  EXPECT_EQ(Dataset::open(folder.path(), options).cases(), 8) << "one in five is held out";
  options.read.group = "^(q[0-9])";
  EXPECT_TRUE(contains(refused([&] { Dataset::open(folder.path(), options); }), "does not match 'p0a'"));
  write_file(folder / "train.list", "p0a\np1a\n");
  write_file(folder / "val.list", "p1b\n");
  EXPECT_TRUE(contains(refused([&] { Dataset::open(folder.path(), by_patient()); }),
      "'p1' is in the training and in the validation split"));
}

TEST(Layouts, LabelledCasesAreACountAShareOrAFile) {
  TemporaryFolder folder;
  put_patients(folder);
  int64_t images = 0;
  const auto labeled = [&](const Budget& budget) {
    DatasetOptions options = by_patient();
    options.labeled = budget;
    options.validation = 0;
    const Dataset data = Dataset::open(folder.path(), options);
    images = data.labeled_items();
    return std::pair(data.labeled_cases(), data.item(0).id);
  };
  EXPECT_EQ(labeled(3), std::pair(int64_t(3), std::string("p0a")));
  EXPECT_EQ(labeled(std::string("25%")).first, 2);
  EXPECT_EQ(labeled(std::string("1%")).first, 1);
  write_file(folder / "mine.txt", "p7\np9b\n");
  EXPECT_EQ(labeled(folder / "mine.txt"), std::pair(int64_t(2), std::string("p7a")));
  EXPECT_EQ(images, 3) << "both of p7, one of p9";
  EXPECT_TRUE(contains(refused([&] { labeled(std::string("many")); }), "--labeled 'many'"));
}

TEST(Layouts, TuningCasesAreTrainingCasesAndTheValidationSplitStaysUnread) {
  TemporaryFolder folder;
  put_patients(folder);
  write_file(folder / "val.list", "p9a\np9b\n");
  write_file(folder / "masks/p9a.png", "unreadable");
  DatasetOptions options = by_patient();
  options.tune = 2;
  const Dataset data = Dataset::open(folder.path(), options);
  EXPECT_EQ(data.cases(), 7);
  ASSERT_EQ(data.validation_cases(), 4);
  EXPECT_EQ(data.validation(0).id, "p7a");
  EXPECT_TRUE(contains(data.describe(), "TUNING: the last 2 labelled training patients")) << data.describe();
}

TEST(Layouts, FoldsCutBetweenPatientsAndAreThoseOfTheFileWhereThereIsOne) {
  TemporaryFolder folder;
  put_patients(folder);
  std::set<std::string> held;
  for (int fold = 1; fold <= 5; ++fold) {
    DatasetOptions options = by_patient();
    options.fold = std::to_string(fold) + "/5";
    const Dataset data = Dataset::open(folder.path(), options);
    EXPECT_EQ(data.cases(), 8);
    for (int64_t i = 0; i < data.validation_cases(); ++i) held.insert(data.validation(i).id);
  }
  EXPECT_EQ(held.size(), 20u);
  write_file(folder / "splits_final.json",
      R"([{"train":["p0","p1"],"val":["p2"]},{"train":["p2a","p2b"],"val":["p0"]}])");
  DatasetOptions options = by_patient();
  options.fold = "2/2";
  EXPECT_EQ(Dataset::open(folder.path(), options).validation(0).id, "p0a");
  options.fold = "2/5";
  EXPECT_TRUE(contains(refused([&] { Dataset::open(folder.path(), options); }), "lists 2 folds"));
}

TEST(Layouts, SeveralChannelsAreStackedEachInItsOwnRange) {
  TemporaryFolder folder;
  if (contains(refused([] { read_nifti_header("/nowhere.nii"); }), "built without")) GTEST_SKIP();
  write_nifti_set(folder.path(), true);
  write_file(folder / "dataset.json",
      R"({"channel_names":{"0":"T1","1":"T2"},"labels":{"background":0,"head":1,"tail":2},)"
      R"("numTraining":4,"file_ending":".nii.gz"})");
  std::filesystem::create_directories(folder / "imagesTs");
  for (int i = 0; i < 4; ++i) {
    const std::string at = folder / "imagesTr/case_00" + std::to_string(i);
    Grid second = read_nifti(at + "_0000.nii.gz");
    for (double& v : second.values) v = 7 + 1000 * v;
    write_nifti(at + "_0001.nii.gz", second, NiftiType::f64);
    if (i == 0)
      for (const char* channel : {"_0000.nii.gz", "_0001.nii.gz"})
        std::filesystem::copy(at + channel, folder / "imagesTs/x" + channel);
  }
  const Dataset data = Dataset::open(folder.path());
  EXPECT_EQ(data.channels(), 2);
  EXPECT_EQ(data.items() - data.labeled_items(), 5) << "imagesTs without labelsTs";
  const Slice s = data.item(2);
  for (int64_t i = 0; i < s.height * s.width; ++i) EXPECT_NEAR(s.image[2 * i], s.image[2 * i + 1], 1e-6);
}

// SSL4MIS's files from the challenge's own, volumes of integers stored as `type`: slices, names, split, and
// values to the last bit.
void expect_acdc(const std::vector<double>& image, const std::vector<uint8_t>& label, int64_t d, int64_t h,
    int64_t w, double levels, NiftiType type) {
  TemporaryFolder folder;
  const std::string raw = folder / "raw", to = folder / "h5";
  Grid stored = grid_of(d, h, w, image);
  for (double& v : stored.values) v = std::round(v * levels) + 3;
  for (const std::string patient : {"patient099", "patient028", "patient001"}) {
    const std::string dir = raw + "/training/" + patient;
    std::filesystem::create_directories(dir);
    for (const char* frame : {"_frame01", "_frame12"}) {
      write_nifti(dir + "/" + patient + frame + ".nii.gz", stored, type);
      write_nifti(dir + "/" + patient + frame + "_gt.nii.gz", grid_of(d, h, w, {label.begin(), label.end()}),
          NiftiType::u8);
    }
    write_nifti(dir + "/" + patient + "_4d.nii.gz", stored, type);
  }
  EXPECT_EQ(ids(open_layout(raw).train), (Ids{"patient099_frame01", "patient099_frame02"}));
  convert_data(raw, to, Target::ssl4mis);
  EXPECT_EQ(read_list(to + "/val.list"), (Ids{"patient028_frame01", "patient028_frame02"}));
  EXPECT_EQ(read_list(to + "/test.list"), (Ids{"patient001_frame01", "patient001_frame02"}));
  EXPECT_EQ(read_list(to + "/train_slices.list").size(), size_t(2 * d));
  EXPECT_EQ(read_h5(to + "/data/patient028_frame02.h5", "image").values, image);
  EXPECT_EQ(read_h5(to + "/data/patient028_frame02.h5", "label").values,
      std::vector<double>(label.begin(), label.end()));
  for (int64_t z = 0; z < d; ++z) {
    const std::string slice = to + "/data/slices/patient099_frame01_slice_" + std::to_string(z + 1) + ".h5";
    EXPECT_EQ(read_h5(slice, "image").values,
        std::vector<double>(image.begin() + z * h * w, image.begin() + (z + 1) * h * w));
  }
}

TEST(Layouts, AcdcAsDownloadedBecomesSsl4misFilesToTheLastBit) {
  if (contains(refused([] { read_nifti_header("/nowhere.nii"); }), "built without")) GTEST_SKIP();
  if (contains(refused([] { read_h5("/nowhere.h5", "image"); }), "built without")) GTEST_SKIP();
  const std::vector<double> image = smooth_image(4, 24, 20, 5);
  std::vector<double> rounded(image.begin(), image.end());
  for (double& v : rounded) v = double(float(v));
  expect_acdc(image, square_label(4, 24, 20, 4), 4, 24, 20, 4095, NiftiType::i16);
  expect_acdc(rounded, square_label(4, 24, 20, 4), 4, 24, 20, 4095, NiftiType::f32);
}

// PATCHCL_ACDC names SSL4MIS's folder: the same of every volume of its val.list.
TEST(Layouts, RealAcdcVolumesComeBackToTheLastBit) {
  const char* const dir = std::getenv("PATCHCL_ACDC");
  if (!dir) GTEST_SKIP() << "PATCHCL_ACDC is not set";
  for (const std::string& name : read_list(std::string(dir) + "/val.list")) {
    const std::string path = std::string(dir) + "/data/" + name + ".h5";
    const Grid image = read_h5(path, "image");
    const std::vector<uint8_t> label = to_label(read_h5(path, "label"), path);
    const auto all = [&](auto holds) { return std::all_of(image.values.begin(), image.values.end(), holds); };
    const bool f32 = all([](double v) { return double(float(v)) == v; });  // prepared from a volume of f32
    const auto whole = [&](double n) {
      return all([&](double v) {
        const double level = std::round(v * n) / n;
        return (f32 ? double(float(level)) : level) == v;
      });
    };
    double levels = 1;
    while (levels < 8192 && !whole(levels)) ++levels;
    ASSERT_LT(levels, 8192) << name << ": no number of levels gives its values";
    const NiftiType type = f32 ? NiftiType::f32 : NiftiType::i16;
    expect_acdc(image.values, label, image.depth, image.height, image.width, levels, type);
  }
}

TEST(Layouts, EvalAndPredictTakeTheTestSplit) {
  TemporaryFolder folder;
  put_patients(folder);
  write_file(folder / "val.list", "p8a\np8b\n");
  write_file(folder / "test.list", "p9a\np9b\n");
  const std::string data = folder.path() + " --group '^p[0-9]'", run = folder / "run";
  const Outcome train = run_patchcl("train --data " + data +
                                    " --labeled 50% --size 16 --batch 2 --iters 2 --widths 4 6 --dropout 0 0 "
                                    "--val-every 0 --threads 1 --out " +
                                    run);
  ASSERT_EQ(train.code, 0) << train.output;
  EXPECT_TRUE(contains(train.output, "8 training patients") && contains(train.output, "20 masks in "))
      << train.output;
  const std::string weights = " --threads 1 --weights " + run + "/last.safetensors";
  const Outcome eval = run_patchcl("eval --split test --data " + data + weights);
  EXPECT_EQ(eval.code, 0) << eval.output;
  EXPECT_TRUE(contains(eval.output, "p9a") && !contains(eval.output, "p8a")) << eval.output;
  const Outcome predict = run_patchcl("predict --split test " + data + weights + " " + (folder / "out"));
  EXPECT_EQ(predict.code, 0) << predict.output;
  EXPECT_TRUE(std::filesystem::exists(folder / "out/p9a.png")) << predict.output;
  const Outcome resumed = run_patchcl("train --resume " + run);
  EXPECT_EQ(resumed.code, 0) << "the options of the data come back from config.toml: " << resumed.output;
}

}  // namespace
