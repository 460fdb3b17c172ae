// Distances of `score` and `eval`: in voxels or in mm, of files that say how far apart their voxels are, on
// one grid; and what an empty mask scores.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "tests/command_line.h"
#include "tests/image_files.h"
#include "tests/json_output.h"
#include "tests/small_data.h"
#include "tests/small_model.h"
#include "train/evaluate/inference.h"

using namespace patchcl;
using namespace patchcl::test;
using nlohmann::json;
using patchcl::test::Outcome;
namespace fs = std::filesystem;

namespace {

// 1 x 4 x 8 voxels of 3 x 1.5 x 1.25 mm, all 0 but those.
void save_voxels(const std::string& path, const std::vector<std::pair<size_t, size_t>>& ones) {
  std::vector<double> values(32);
  for (const auto& [row, column] : ones) values[row * 8 + column] = 1;
  write_nifti(path, grid_of(1, 4, 8, values), NiftiType::u8);
}

void expect_refused(const std::string& arguments, ExitCode code, const std::string& message) {
  const Outcome o = run_patchcl(arguments);
  EXPECT_EQ(o.code, int(code)) << arguments << "\n" << o.output;
  EXPECT_TRUE(contains(o.output, message)) << arguments << "\n" << o.output;
}

json case_of(const std::string& arguments) {
  const Outcome o = run_patchcl(arguments + " --json -");
  EXPECT_EQ(o.code, 0) << arguments << "\n" << o.output;
  return o.code == 0 ? json_in(o)["cases"][0]["classes"] : json{};
}

template <class T> void put_value(const std::string& path, int64_t at, T value) {
  std::fstream f(path, std::ios::in | std::ios::out | std::ios::binary);
  f.seekp(at);
  f.write(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

TEST(ScoreDistances, AreInVoxelsOrInMillimetres) {
  const TemporaryFolder folder;
  save_voxels(folder / "r.nii", {{1, 2}});
  save_voxels(folder / "columns.nii", {{1, 4}});
  save_voxels(folder / "rows.nii", {{3, 2}});
  const auto scores = [&](const std::string& p, const std::string& options) {
    return case_of("score " + folder / "r.nii " + folder / p + ".nii" + options)["class 1"];
  };
  for (const auto& [p, mm] : {std::pair("columns", 2.5), {"rows", 3.0}})
    for (const char* distance : {"hd95", "asd"}) {
      EXPECT_DOUBLE_EQ(scores(p, "")[distance].get<double>(), 2) << p;
      EXPECT_DOUBLE_EQ(scores(p, " --spacing voxel")[distance].get<double>(), 2) << p;
      EXPECT_DOUBLE_EQ(scores(p, " --spacing mm")[distance].get<double>(), mm) << p;
    }
}

TEST(ScoreDistances, OfAnEmptyMaskAreWhatTheRuleSays) {
  const TemporaryFolder folder;
  save_voxels(folder / "r.nii", {{1, 2}});
  save_voxels(folder / "empty.nii", {});
  const auto scores = [&](const std::string& r, const std::string& options) {
    return case_of("score " + folder / r + ".nii " + folder / "empty.nii" + options)["class 1"];
  };
  const double diagonal = std::hypot(3, 7), in_mm = std::hypot(3 * 1.5, 7 * 1.25);
  const json null;
  for (const std::string rule : {"", " --empty nan"}) {
    EXPECT_EQ(scores("r", rule), json({{"dice", 0}, {"jaccard", 0}, {"hd95", null}, {"asd", null},
                                     {"sensitivity", 0}, {"specificity", 1}}));
    EXPECT_EQ(scores("empty", rule)["dice"], null);
  }
  for (const std::string rule : {" --empty zero", " --preset ssl4mis"})
    for (const std::string r : {"r", "empty"})
      for (const char* score : {"dice", "jaccard", "hd95", "asd"}) EXPECT_EQ(scores(r, rule)[score], 0);
  const std::string penalty = " --empty penalty";
  EXPECT_EQ(scores("r", penalty)["dice"], 0);
  EXPECT_DOUBLE_EQ(scores("r", penalty)["hd95"].get<double>(), diagonal);
  EXPECT_DOUBLE_EQ(scores("r", penalty + " --spacing mm")["asd"].get<double>(), in_mm);
  EXPECT_EQ(scores("empty", penalty)["dice"], 1);
  EXPECT_EQ(scores("empty", penalty)["hd95"], 0);
}

TEST(ScoreDistances, OfEvalAreThoseOfItsMasks) {
  const TemporaryFolder folder;
  write_nifti_set(folder / "set", /*nnunet=*/false);
  save_random_model(folder / "w.safetensors");
  const Arena arena("test");
  const auto model = load_model(folder / "w.safetensors", arena);
  const Dataset data = Dataset::open(folder / "set", {.validation = 1, .classes = 3});
  const Volume v = data.validation(0);
  const std::vector<uint8_t> mask = segment(model->unet, model->weights, v, {.size = kSide}, arena);
  const auto want = [&](const MetricOptions& options) {
    const MaskExtent extent{5, 18, 22, {3, 1.5, 1.25}};
    return score_case("", mask.data(), v.label.data(), 3, extent, options).classes[0].hd95;
  };
  const std::string eval =
      "eval --threads 1 --val 1 --data " + folder / "set --weights " + folder / "w.safetensors";
  const double in_mm = want({Spacing::mm, EmptyRule::penalty});
  EXPECT_DOUBLE_EQ(case_of(eval + " --spacing mm --empty penalty")["head"]["hd95"].get<double>(), in_mm);
  EXPECT_NE(in_mm, want({Spacing::voxel, EmptyRule::penalty}));
}

// Numbered objects two columns apart, and those of a network.
TEST(ScoreDistances, OfObjectsAreInTheUnitAskedForToo) {
  const TemporaryFolder folder;
  save_voxels(folder / "r.nii", {{1, 2}});
  save_voxels(folder / "p.nii", {{1, 4}});
  const std::string score = "score --instances " + folder / "r.nii " + folder / "p.nii --json - ";
  EXPECT_DOUBLE_EQ(json_in(run_patchcl(score))["pooled"]["hausdorff"].get<double>(), 2);
  const json mm = json_in(run_patchcl(score + "--spacing mm"));
  EXPECT_DOUBLE_EQ(mm["pooled"]["hausdorff"].get<double>(), 2.5);
  EXPECT_TRUE(contains(mm["object_conventions"].get<std::string>(), "Hausdorff in mm"));
  expect_refused(score + "--empty zero", ExitCode::usage, "--empty");

  for (const char* sub : {"set/images", "set/masks"}) fs::create_directories(folder / sub);
  for (const std::string name : {"a.nii", "b.nii"}) {
    const Volume v = noise(1);
    Grid image = grid_of(1, kSide, kSide, {v.image.begin(), v.image.end()}), mask = image;
    for (size_t i = 0; i < mask.values.size(); ++i) mask.values[i] = i / kSide > 4 && i % kSide < 9;
    image.spacing = mask.spacing = {3, 0.5, 0.5};
    write_nifti(folder / "set/images/" + name, image, NiftiType::f32);
    write_nifti(folder / "set/masks/" + name, mask, NiftiType::u8);
  }
  save_random_model(folder / "w.safetensors", small_network(2));
  const std::string eval = "eval --threads 1 --val 1 --objects --min-size 1 --json - --data " +
                           folder / "set --weights " + folder / "w.safetensors ";
  const double pixels = json_in(run_patchcl(eval))["pooled"]["hausdorff"];
  EXPECT_GT(pixels, 0);
  EXPECT_DOUBLE_EQ(
      json_in(run_patchcl(eval + "--spacing mm"))["pooled"]["hausdorff"].get<double>(), pixels / 2);
  expect_refused(eval + "--empty zero", ExitCode::usage, "--empty");
}

TEST(ScoreDistances, InMillimetresWantAFileThatKnowsThem) {
  const TemporaryFolder folder;
  Volume v = noise(1);
  const std::vector<uint8_t> mask(size_t(kSide * kSide), 1);
  const std::string refused =
      " does not say how far apart its voxels are, so no distance is in mm; say "
      "--spacing voxel";
  for (const std::string name : {"a.png", "a.h5", "a.nii.gz"}) {  // the last of a picture
    write_label(folder / name, mask, v);
    const std::string pair = "score " + folder / name + " " + folder / name;
    expect_refused(pair + " --spacing mm", ExitCode::data, folder / name + refused);
    expect_refused(pair + " --instances --spacing mm", ExitCode::data, folder / name + refused);
    EXPECT_EQ(run_patchcl(pair).code, 0);
  }
  v.spacing_known = true;  // 1 mm
  write_label(folder / "a.nii.gz", mask, v);
  EXPECT_EQ(run_patchcl("score --spacing mm " + folder / "a.nii.gz " + folder / "a.nii.gz").code, 0);
  write_tiles(folder / "set");
  ModelInfo info = small_network(2);
  info.unet.in_channels = 3;
  save_random_model(folder / "w.safetensors", info);
  expect_refused("eval --spacing mm --data " + folder / "set --weights " + folder / "w.safetensors",
      ExitCode::data, "set/images/tile_4.png" + refused);
}

TEST(ScoreDistances, OfAFileInMicronsAreInMillimetres) {
  const TemporaryFolder folder;
  const std::string path = folder / "r.nii";
  save_voxels(path, {{1, 2}});
  put_value(path, 123, char(3));  // xyzt_units: micron
  EXPECT_EQ(read_nifti(path).spacing, (std::array<double, 3>{0.003, 0.0015, 0.00125}));
  put_value(path, 123, char(1));  // metre
  EXPECT_EQ(read_nifti_header(path).spacing, (std::array<double, 3>{3000, 1500, 1250}));
}

// An array of one size may be another grid.
TEST(Score, MasksOfOtherSpacingOrOrientationAreRefused) {
  const TemporaryFolder folder;
  for (const std::string name : {"r.nii", "p.nii"}) save_voxels(folder / name, {{1, 2}});
  const std::string score = "score " + folder / "r.nii " + folder / "p.nii";
  EXPECT_EQ(run_patchcl(score).code, 0);
  put_value(folder / "p.nii", 264, 1.f);  // half a turn around the slice axis
  for (const std::string options : {"", " --instances", " --label-values 0,1"}) {
    expect_refused(score + options, ExitCode::data, "reference and prediction of different orientation");
    expect_refused(score + options, ExitCode::data, "p.nii towards LPS");
  }
  put_value(folder / "p.nii", 264, 0.f);
  put_value(folder / "p.nii", 80, 2.5f);  // columns
  expect_refused(score, ExitCode::data, "resample the prediction onto the reference's grid");
  Volume bare;
  bare.depth = 1;
  bare.height = 4;
  bare.width = 8;
  write_label(folder / "p.nii", std::vector<uint8_t>(32, 1), bare);
  EXPECT_EQ(run_patchcl(score).code, 0) << "a mask to which nobody gave a geometry";
}

TEST(Score, FoldersAreReadAsPredictReadsThem) {
  const TemporaryFolder folder;
  for (const char* sub : {"r", "p"}) {
    fs::create_directory(folder / sub);
    save_voxels(folder / sub + "/x.nii", {{1, 2}});
    std::ofstream(folder / sub + "/._x.nii") << "left by a Mac";
  }
  const std::string score = "score " + folder / "r " + folder / "p";
  EXPECT_EQ(run_patchcl(score).code, 0);
  fs::create_symlink("/nowhere/y.nii", folder / "r/y.nii");
  expect_refused(score, ExitCode::data, "r/y.nii: a link to nothing");
}

TEST(Predict, TheMaskOfATwoDimensionalNiftiHasTwoDimensions) {
  const TemporaryFolder folder;
  save_random_model(folder / "w.safetensors");
  for (const auto& [depth, axes] : {std::pair<int64_t, int16_t>{1, 2}, {1, 3}, {2, 3}}) {
    const Volume v = noise(depth);
    write_nifti(
        folder / "x.nii", grid_of(depth, kSide, kSide, {v.image.begin(), v.image.end()}), NiftiType::f32);
    put_value(folder / "x.nii", 40, axes);
    ASSERT_EQ(run_patchcl("predict --threads 1 --weights " + folder / "w.safetensors " + folder / "x.nii " +
                          folder / "m.nii")
                  .code,
        0);
    EXPECT_EQ(read_bytes(folder / "m.nii")[40], axes);
    EXPECT_EQ(read_grid(folder / "m.nii").depth, depth);
  }
}
