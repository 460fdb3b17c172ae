// Every layout read, checked, converted and batched; every kind of damage named.
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "data/layouts/check.h"
#include "data/layouts/convert.h"
#include "data/stream/loader.h"
#include "data/layouts/phantom.h"
#include "tensor/error.h"
#include "tests/command_line.h"
#include "tests/json_output.h"
#include "tests/small_data.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

enum class Kind { ssl4mis, msd, nnunet, tiles, phantom };
const char* name_of(Kind k) {
  const char* names[] = {"ssl4mis", "msd", "nnunet", "tiles", "phantom"};
  return names[int(k)];
}

// A data set of that kind below `folder`; what --data would say.
std::string make_set(Kind kind, const std::string& folder) {
  const std::string dir = folder + "/" + name_of(kind);
  switch (kind) {
    case Kind::ssl4mis: write_ssl4mis(dir); break;
    case Kind::msd: write_nifti_set(dir, false); break;
    case Kind::nnunet: write_nifti_set(dir, true); break;
    case Kind::tiles: write_tiles(dir); break;
    case Kind::phantom: return "phantom:cases=3,val=1,size=32,slices=3";
  }
  return dir;
}

bool needs_missing_library(Kind kind) {
  try {
    if (kind == Kind::ssl4mis) read_h5("/nowhere.h5", "image");
    if (kind == Kind::msd || kind == Kind::nnunet) read_nifti_header("/nowhere.nii");
  } catch (const Error& e) {
    return contains(e.what(), "built without");
  }
  return false;
}

struct Batches {
  std::vector<float> images;
  std::vector<uint8_t> labels;
  std::vector<std::string> ids;
  bool operator==(const Batches&) const = default;
};

// Batches [first, first + count) with a strong view.
Batches load(const std::string& data, int workers, int64_t first, int64_t count, int64_t size = 32) {
  const Dataset dataset = Dataset::open(data, {.labeled = 1, .validation = 1});
  const Sampler sampler(7, dataset.labeled_items(), dataset.items() - dataset.labeled_items(), 2, 2);
  LoaderOptions options;
  options.seed = 11;
  options.augment = {Augmentation::ssl4mis, size, dataset.fit(size)};
  options.views = {{}, kStrongView};
  options.workers = workers;
  Loader loader(dataset, sampler, options, first);
  Batches all;
  for (int64_t i = 0; i < count; ++i) {
    const Batch b = loader.next();
    for (const Tensor& t : {b.images(), b.views[1].images})
      all.images.insert(all.images.end(), t.data<float>(), t.data<float>() + t.numel());
    all.labels.insert(
        all.labels.end(), b.labels().data<uint8_t>(), b.labels().data<uint8_t>() + b.labels().numel());
    all.ids.insert(all.ids.end(), b.ids.begin(), b.ids.end());
  }
  return all;
}

class EveryLayout : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (needs_missing_library(GetParam())) GTEST_SKIP() << "built without the library";
    data = make_set(GetParam(), folder.path());
  }
  TemporaryFolder folder;
  std::string data;
};
INSTANTIATE_TEST_SUITE_P(Data, EveryLayout,
    testing::Values(Kind::ssl4mis, Kind::msd, Kind::nnunet, Kind::tiles, Kind::phantom),
    [](const auto& info) { return std::string(name_of(info.param)); });

TEST_P(EveryLayout, IsReadWithSplitsClassesAndLabels) {
  struct Expected {
    const char* layout;
    int64_t items, validation, classes, channels, labeled_items;
  };
  const std::map<Kind, Expected> expected{{Kind::ssl4mis, {"SSL4MIS", 6, 1, 4, 1, 3}},
      {Kind::msd, {"MSD", 15, 1, 3, 1, 5}}, {Kind::nnunet, {"nnU-Net", 15, 1, 3, 1, 5}},
      {Kind::tiles, {"images", 4, 1, 2, 3, 1}}, {Kind::phantom, {"phantom", 9, 1, 4, 1, 3}}};
  const Expected& e = expected.at(GetParam());
  const Dataset d = Dataset::open(data, {.labeled = 1, .validation = 1});
  EXPECT_EQ(d.layout(), e.layout);
  EXPECT_EQ(d.items(), e.items);
  EXPECT_EQ(d.validation_cases(), e.validation);
  EXPECT_EQ(d.classes(), e.classes);
  EXPECT_EQ(d.channels(), e.channels);
  EXPECT_EQ(d.labeled_items(), e.labeled_items);
  for (int64_t i = 0; i < d.items(); ++i) {
    const Slice s = d.item(i);
    EXPECT_EQ(s.label != nullptr, i < d.labeled_items()) << i;
    const auto [low, high] = std::minmax_element(s.image, s.image + s.height * s.width * s.channels);
    EXPECT_GE(*low, 0);
    EXPECT_LE(*high, 1);
  }
  const Volume v = d.validation(0);
  EXPECT_EQ(int64_t(v.label.size()), v.depth * v.slice_pixels());
}

TEST_P(EveryLayout, GivesTheSameBatchesForAnyNumberOfWorkersAndFromAnyStart) {
  const Batches all = load(data, 1, 0, 6);
  EXPECT_EQ(all, load(data, 3, 0, 6));
  const Batches tail = load(data, 2, 4, 2);
  const size_t third = all.images.size() / 3;
  EXPECT_TRUE(std::equal(tail.images.begin(), tail.images.end(), all.images.end() - std::ptrdiff_t(third)));
}

// What a training sees of two data sets whose names may differ.
void expect_same_numbers(const std::string& a, const std::string& b) {
  const Batches x = load(a, 1, 0, 6), y = load(b, 1, 0, 6);
  EXPECT_EQ(x.images, y.images);
  EXPECT_EQ(x.labels, y.labels);
  const Dataset p = Dataset::open(a, {.validation = 1}), q = Dataset::open(b, {.validation = 1});
  EXPECT_EQ(p.items(), q.items());
  if (p.validation(0).depth != q.validation(0).depth) return;  // held out of slices: SSL4MIS's need a list
  EXPECT_EQ(p.validation(0).image, q.validation(0).image);
  EXPECT_EQ(p.validation(0).label, q.validation(0).label);
}

TEST_P(EveryLayout, IsConvertedToSsl4misAndNnunetToTheLastBit) {
  for (const Target target : {Target::ssl4mis, Target::nnunet}) {
    const std::string to = folder / (target == Target::nnunet ? "volumes" : "slices");
    if (needs_missing_library(target == Target::nnunet ? Kind::nnunet : Kind::ssl4mis)) continue;
    if (GetParam() == Kind::tiles) {
      EXPECT_THROW(convert_data(data, to, target), Error) << "no place for colour";
      continue;
    }
    const ConvertReport r = convert_data(data, to, target);
    EXPECT_EQ(r.rounded_cases, 0);
    expect_same_numbers(data, to);
    EXPECT_EQ(check_data(to).problems, std::vector<std::string>{});
    EXPECT_THROW(convert_data(data, to, target), Error) << "a folder that is not empty must stay as it is";
    if (target == Target::ssl4mis) continue;
    const Dataset a = Dataset::open(data, {.validation = 1}), b = Dataset::open(to, {.validation = 1});
    EXPECT_EQ(a.class_names(), b.class_names());
    EXPECT_EQ(a.validation(0).spacing, b.validation(0).spacing);
  }
}

TEST_P(EveryLayout, IsConvertedToPngWithEveryRoundingCounted) {
  const std::string to = folder / "png";
  const ConvertReport r = convert_data(data, to, Target::png);
  EXPECT_EQ(check_data(to).problems, std::vector<std::string>{});
  if (GetParam() == Kind::tiles) {
    EXPECT_EQ(r.rounded_cases, 0);
    expect_same_numbers(data, to);
    return;
  }
  EXPECT_EQ(r.rounded_cases, GetParam() == Kind::phantom ? 0 : r.cases) << "a phantom's numbers are whole";
  EXPECT_EQ(r.largest_error > 0, r.rounded_cases > 0);
  EXPECT_LE(r.largest_error, 0.5 / 65535);
  EXPECT_EQ(check_data(to).train.pixels, check_data(data).train.pixels);
}

TEST_P(EveryLayout, PassesTheCheck) {
  const DataReport r = check_data(data);
  EXPECT_EQ(r.problems, std::vector<std::string>{});
  EXPECT_GT(r.train.slices, 0);
  EXPECT_EQ(r.train.pixels.size(), r.class_names.size());
}

TEST_P(EveryLayout, TrainsEvaluatesAndPredicts) {
  const std::string run = folder / "run";
  const Outcome train = run_patchcl("train --data " + data +
                                    " --labeled 1 --val 1 --size 32 --batch 2 --iters 2 --widths 4 6 8 "
                                    "--dropout 0 0 0 --val-every 0 --threads 1 --out " +
                                    run);
  ASSERT_EQ(train.code, 0) << train.output;
  const Outcome eval =
      run_patchcl("eval --data " + data + " --val 1 --weights " + run + "/best.safetensors --threads 1");
  EXPECT_EQ(eval.code, 0) << eval.output;
}

TEST(Phantom, LabelsCoverAllClassesAndCasesDiffer) {
  const PhantomOptions o = parse_phantom("phantom:size=48,slices=6");
  const Grid a = phantom_image(o, 0), b = phantom_image(o, 1), label = phantom_label(o, 0);
  EXPECT_EQ(a.values, phantom_image(o, 0).values);
  EXPECT_NE(a.values, b.values);
  for (double k = 0; k < 4; ++k) EXPECT_GT(std::count(label.values.begin(), label.values.end(), k), 20) << k;
}

// --- damage
// ----------------------------------------------------------------------------------------------------------

struct Damage {
  const char* name;
  Kind kind;
  void (*harm)(const std::string& dir);
  const char* message;  // part of the error, which also names the file
};

const std::vector<double> kFlat(24 * 20, 0.5);

const Damage kDamages[] = {
    {"MissingListEntry", Kind::ssl4mis,
        [](const std::string& d) {
          std::filesystem::remove(d + "/data/slices/patient001_frame01_slice_2.h5");
        },
        "names 'patient001_frame01_slice_2', but there is no"},
    {"MissingValidationVolume", Kind::ssl4mis,
        [](const std::string& d) { std::filesystem::remove(d + "/data/patient003_frame01.h5"); },
        "names 'patient003_frame01'"},
    {"TruncatedH5", Kind::ssl4mis,
        [](const std::string& d) { truncate_file(d + "/data/slices/patient001_frame01_slice_1.h5"); },
        "patient001_frame01_slice_1.h5: no readable HDF5 file"},
    {"NanInH5", Kind::ssl4mis,
        [](const std::string& d) {
          std::vector<double> image = kFlat;
          image[47] = std::nan("");
          const std::vector<uint8_t> label(image.size());
          write_h5(d + "/data/slices/patient001_frame01_slice_1.h5", {24, 20}, &image, &label);
        },
        "patient001_frame01_slice_1.h5: nan at slice 0 row 2 column 7"},
    {"LabelOutsideTheClasses", Kind::ssl4mis,
        [](const std::string& d) {
          const std::vector<uint8_t> label(480, 9);
          write_h5(d + "/data/slices/patient001_frame01_slice_1.h5", {24, 20}, &kFlat, &label);
        },
        "patient001_frame01_slice_1.h5: label 9 outside the 4 classes"},
    {"EmptyList", Kind::ssl4mis, [](const std::string& d) { write_file(d + "/train_slices.list", "\n"); },
        "without a training case"},
    {"TruncatedNifti", Kind::msd,
        [](const std::string& d) { truncate_file(d + "/imagesTr/case_000.nii.gz"); }, "case_000.nii.gz"},
    {"NiftiOfDifferentSize", Kind::msd,
        [](const std::string& d) {
          write_nifti(d + "/labelsTr/case_000.nii.gz", grid_of(5, 18, 21, std::vector<double>(5 * 18 * 21)),
              NiftiType::u8);
        },
        "image and mask of different size"},
    {"BrokenJson", Kind::msd, [](const std::string& d) { write_file(d + "/dataset.json", "{\"labels\": "); },
        "dataset.json is broken"},
    {"MissingNifti", Kind::nnunet,
        [](const std::string& d) { std::filesystem::remove(d + "/imagesTr/case_002_0000.nii.gz"); },
        "case_002_0000.nii.gz, which is not there"},
    {"TruncatedPng", Kind::tiles, [](const std::string& d) { truncate_file(d + "/images/tile_0.png"); },
        "tile_0.png: PNG"},
    {"FlippedBitInPng", Kind::tiles,
        [](const std::string& d) {
          std::fstream f(d + "/images/tile_0.png", std::ios::in | std::ios::out | std::ios::binary);
          f.seekp(60);
          f.put('x');
        },
        "invalid CRC"},
    {"MaskOfDifferentSize", Kind::tiles,
        [](const std::string& d) {
          write_png(d + "/masks/tile_0.png", std::vector<uint8_t>(40 * 51).data(), 40, 51, 1);
        },
        "image and mask of different size"},
    {"ColouredMask", Kind::tiles,
        [](const std::string& d) {
          std::vector<uint8_t> rgb(40 * 52 * 3);
          rgb[3] = 200;
          write_png(d + "/masks/tile_0.png", rgb.data(), 40, 52, 3);
        },
        "coloured mask"},
    {"NoImageAtAll", Kind::tiles, [](const std::string& d) { write_file(d + "/images/tile_0.png", "hello"); },
        "no PNG, JPEG, BMP or TIFF image"},
};

class Damaged : public testing::TestWithParam<Damage> {};
INSTANTIATE_TEST_SUITE_P(Data, Damaged, testing::ValuesIn(kDamages),
    [](const auto& info) { return std::string(info.param.name); });

TEST_P(Damaged, StopsTrainingWithTheNameOfTheFileAndIsFoundByCheck) {
  const Damage& d = GetParam();
  if (needs_missing_library(d.kind)) GTEST_SKIP() << "built without the library";
  TemporaryFolder folder;
  const std::string data = make_set(d.kind, folder.path()), run = folder / "run";
  d.harm(data);
  const Outcome train = run_patchcl(
      "train --data " + data +
      " --val 1 --size 32 --batch 4 --iters 3 --widths 4 6 --dropout 0 0 --threads 1 --out " + run);
  EXPECT_EQ(train.code, 3) << train.output;
  EXPECT_TRUE(contains(train.output, d.message)) << train.output;
  const Outcome check = run_patchcl("data check " + data);
  EXPECT_EQ(check.code, 3) << check.output;
}

TEST(DataCheck, ListsEveryProblem) {
  if (needs_missing_library(Kind::ssl4mis)) GTEST_SKIP() << "built without the library";
  TemporaryFolder folder;
  const std::string data = make_set(Kind::ssl4mis, folder.path());
  truncate_file(data + "/data/slices/patient001_frame01_slice_1.h5");
  truncate_file(data + "/data/slices/patient002_frame01_slice_2.h5");
  write_file(data + "/val.list", "patient003_frame01\npatient003_frame01\n");
  write_h5(data + "/data/slices/patient002_frame01_slice_3.h5", {24, 20}, &kFlat, nullptr);
  const Outcome o = run_patchcl("data check --json " + data);
  EXPECT_EQ(o.code, 3);
  const auto problems = json_in(o).at("problems");
  EXPECT_EQ(problems.size(), 3u) << problems.dump(1);
}

TEST(DataCheck, APatientInTwoSplitsIsAProblem) {
  if (needs_missing_library(Kind::ssl4mis)) GTEST_SKIP() << "built without the library";
  TemporaryFolder folder;
  const std::string data = make_set(Kind::ssl4mis, folder.path());
  std::filesystem::rename(data + "/data/patient003_frame01.h5", data + "/data/patient002_frame02.h5");
  write_file(data + "/val.list", "patient002_frame02\n");
  const DataReport r = check_data(data);
  ASSERT_EQ(r.problems.size(), 1u);
  EXPECT_TRUE(contains(r.problems[0], "'patient002' is in the training and in the validation split"));
}

}  // namespace
