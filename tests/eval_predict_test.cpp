// patchcl eval and patchcl predict as a user runs them: numbers, files, geometry, bad input.
#include <gtest/gtest.h>
#include <zlib.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/formats/readers.h"
#include "tensor/file.h"
#include "tests/command_line.h"
#include "tests/json_output.h"
#include "train/evaluate/inference.h"
#include "train/evaluate/terminal.h"
#include "train/setup/model_file.h"

using namespace patchcl;
using namespace patchcl::test;
using patchcl::test::Outcome;
using patchcl::test::run_patchcl;
using patchcl::test::TemporaryFolder;

namespace {

// Weights of a small network with random numbers.
void save_weights(const std::string& path, int channels, int classes, int64_t size, Fit fit = Fit::resize,
    Gates gates = Gates::none) {
  ModelInfo info;
  info.unet = {.in_channels = channels, .classes = classes, .widths = {4, 6, 8}, .dropout = {0.1, 0.1, 0.1}};
  info.unet.gates = gates;
  info.size = size;
  info.fit = fit;
  const Arena arena("test");
  Model model(info, arena);
  model.weights.init(4);
  // Larger than a fresh network's, so that masks are not constant.
  for (int64_t i = 0; i < model.layout.flat_size(); ++i) model.weights.values().data<float>()[i] *= 4;
  TensorFile file;
  put_model_info(file, info);
  put_weights(file, model.weights, 0);
  save_tensors(path, file);
}

std::vector<char> bytes_of(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  EXPECT_TRUE(file) << path;
  std::vector<char> bytes(1 << 20);
  const int n = file ? gzread(file, bytes.data(), unsigned(bytes.size())) : 0;
  if (file) gzclose(file);
  bytes.resize(size_t(std::max(n, 0)));
  return bytes;
}

template <class T> T at(const std::vector<char>& bytes, size_t offset) {
  T value;
  std::memcpy(&value, &bytes[offset], sizeof value);
  return value;
}

template <class T> void put(std::vector<char>& bytes, size_t offset, const std::vector<T>& values) {
  std::memcpy(&bytes[offset], values.data(), values.size() * sizeof(T));
}

// An int16 volume of 7 x 6 x 5 voxels, left-handed, oblique, with extensions' worth of distance before the
// voxels.
std::vector<char> oblique_nifti() {
  std::vector<char> b(368 + 7 * 6 * 5 * 2);
  put<int32_t>(b, 0, {348});
  put<int16_t>(b, 40, {3, 7, 6, 5, 1, 1, 1, 1});
  put<int16_t>(b, 70, {4, 16});                             // int16
  put<float>(b, 76, {-1, 1.5f, 0.75f, 3.25f, 1, 1, 1, 1});  // qfac -1, spacing
  put<float>(b, 108, {368, 2, -7});                         // voxels at, slope, intercept
  b[123] = 10;                                              // mm, s
  put<int16_t>(b, 252, {1, 2});                             // scanner, aligned
  put<float>(b, 256, {0.1f, -0.2f, 0.3f, -80, 40.5f, 12});  // quaternion and offset
  put<float>(b, 280, {-1.4f, 0.1f, 0.2f, 90, 0.05f, -0.7f, 0.3f, -60, 0.2f, 0.1f, 3.2f, -30});  // sform
  std::memcpy(&b[344], "n+1", 4);
  for (int i = 0; i < 7 * 6 * 5; ++i) put<int16_t>(b, 368 + 2 * size_t(i), {int16_t((i * 37) % 211)});
  return b;
}

void save_gz(const std::string& path, const std::vector<char>& bytes) {
  gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_EQ(gzwrite(file, bytes.data(), unsigned(bytes.size())), int(bytes.size()));
  gzclose(file);
}

}  // namespace

TEST(Predict, NiftiMaskLiesOnItsImage) {
  const TemporaryFolder folder;
  const std::vector<char> image = oblique_nifti();
  save_gz(folder / "scan.nii.gz", image);
  save_weights(folder / "w.safetensors", 1, 3, 16);
  const Outcome o = run_patchcl(
      "predict --weights " + folder / "w.safetensors " + folder / "scan.nii.gz " + folder / "mask.nii.gz");
  ASSERT_EQ(o.code, 0) << o.output;
  const std::vector<char> mask = bytes_of(folder / "mask.nii.gz");
  ASSERT_EQ(mask.size(), 352u + 7 * 6 * 5);
  const std::pair<size_t, size_t> geometry[] = {
      {40, 56}, {76, 108}, {123, 124}, {252, 328}};  // dim, pixdim, units, q- and sform
  for (const auto& [begin, end] : geometry)
    EXPECT_EQ(0, std::memcmp(&mask[begin], &image[begin], end - begin))
        << "header bytes " << begin << " to " << end;
  EXPECT_EQ(at<int16_t>(mask, 70), 2) << "u8";
  const float slope = at<float>(mask, 112);
  EXPECT_TRUE((slope == 0 || slope == 1) && at<float>(mask, 116) == 0) << "class numbers must not be scaled";

  // Voxel (i,j,k) of either file is row j, column i of slice k, of the image as of the mask.
  const Arena arena("test");
  const auto model = load_model(folder / "w.safetensors", arena);
  const Volume v = read_volume(folder / "scan.nii.gz");
  const std::vector<uint8_t> labels =
      segment(model->unet, model->weights, v, {Fit::resize, 16, 8, 0.5}, arena);
  ASSERT_EQ(v.depth, 5);
  ASSERT_EQ(v.height, 6);
  ASSERT_EQ(v.width, 7);
  for (int64_t k = 0; k < 5; ++k)
    for (int64_t j = 0; j < 6; ++j)
      for (int64_t i = 0; i < 7; ++i) {
        const size_t voxel = size_t(i + 7 * (j + 6 * k));
        EXPECT_EQ(uint8_t(mask[352 + voxel]), labels[size_t((k * 6 + j) * 7 + i)]);
        EXPECT_NEAR(v.image[size_t((k * 6 + j) * 7 + i)], at<int16_t>(image, 368 + 2 * voxel) / 210.0, 1e-6);
      }
  EXPECT_NE(*std::min_element(labels.begin(), labels.end()), *std::max_element(labels.begin(), labels.end()));
}

TEST(Predict, FoldersOfImagesBecomeFoldersOfMasksOfTheSameSize) {
  const TemporaryFolder folder;
  save_weights(folder / "w.safetensors", 1, 2, 16, Fit::crop);
  save_gz(folder / "a.nii", oblique_nifti());
  std::filesystem::create_directory(folder / "in");
  Volume v;
  v.depth = 1;
  v.height = 21;
  v.width = 34;
  std::vector<uint8_t> picture;
  for (int i = 0; i < 21 * 34; ++i) picture.push_back(uint8_t(i * 13 % 250));
  write_label(folder / "in/one.png", picture, v);
  write_label(folder / "in/two.png", picture, v);
  std::ofstream(folder / "in/notes.txt") << "not an image";
  const Outcome o =
      run_patchcl("predict --weights " + folder / "w.safetensors " + folder / "in " + folder / "out");
  ASSERT_EQ(o.code, 0) << o.output;
  for (const char* name : {"out/one.png", "out/two.png"}) {
    const Grid mask = read_grid(folder / name);
    EXPECT_EQ(mask.height, 21);
    EXPECT_EQ(mask.width, 34);
    for (double value : mask.values) EXPECT_TRUE(value == 0 || value == 1);
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "out/notes.txt"));
}

TEST(Predict, CasesOfASplitGetOverlaysAndProbabilitiesToo) {
  const TemporaryFolder folder;
  save_weights(folder / "plain.safetensors", 1, 4, 16);
  save_weights(folder / "gated.safetensors", 1, 4, 16, Fit::resize, Gates::all);
  for (const char* name : {"plain", "gated"}) {
    const std::string data = " phantom:cases=2,val=1,size=32,slices=2 ";
    const Outcome o =
        run_patchcl("predict --threads 1 --split val --probabilities --png --overlays " + folder / name +
                    " --weights " + folder / name + ".safetensors" + data + folder / "masks");
    ASSERT_EQ(o.code, 0) << o.output;
  }
  size_t probabilities = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "masks"))
    probabilities += entry.path().string().ends_with(".probabilities.safetensors");
  EXPECT_EQ(probabilities, 1u);
  const auto overlay = [&](const std::string& name) {
    return read_grid(std::filesystem::directory_iterator(folder / name)->path().string());
  };
  EXPECT_GT(overlay("gated").height, overlay("plain").height) << "each level's uncertainty is shown below";
}

TEST(Predict, BadInputIsNamedAndNothingIsWritten) {
  const TemporaryFolder folder;
  save_weights(folder / "w.safetensors", 1, 3, 16);
  save_gz(folder / "scan.nii.gz", oblique_nifti());
  const auto expect = [&](const std::string& arguments, ExitCode code, const std::string& message) {
    const Outcome o = run_patchcl("predict " + arguments);
    EXPECT_EQ(o.code, int(code)) << arguments << "\n" << o.output;
    EXPECT_TRUE(contains(o.output, message)) << arguments << "\n" << o.output;
  };
  const std::string w = "--weights " + folder / "w.safetensors ", scan = folder / "scan.nii.gz ",
                    mask = folder / "mask.nii.gz";
  expect("--weights " + folder / "none.safetensors " + scan + mask, ExitCode::checkpoint, "none.safetensors");
  expect(scan + mask, ExitCode::usage, "--weights");
  expect(w + folder / "none.nii.gz " + mask, ExitCode::data, "none.nii.gz");
  expect(w + scan + folder / "mask.xyz", ExitCode::usage, "mask.xyz");
  expect(w + scan + folder / "mask.png", ExitCode::usage, "slices");
  expect(w + scan + scan, ExitCode::usage, "would replace the image");
  expect(w + scan + folder / "w.safetensors/mask.nii.gz", ExitCode::io, "cannot create the folder");
  expect(w + "--size -3 " + scan + mask, ExitCode::usage, "size");
  expect(w + "--overlap 1 " + scan + mask, ExitCode::usage, "overlap");
  std::ofstream(folder / "short.safetensors") << "12345";
  expect(
      "--weights " + folder / "short.safetensors " + scan + mask, ExitCode::checkpoint, "short.safetensors");
  save_weights(folder / "colour.safetensors", 3, 3, 16);
  expect("--weights " + folder / "colour.safetensors " + scan + mask, ExitCode::data, "channel");
  EXPECT_FALSE(std::filesystem::exists(mask));
  EXPECT_EQ(bytes_of(folder / "scan.nii.gz").size(), oblique_nifti().size());
}

TEST(Predict, AnySizeWorks) {
  const TemporaryFolder folder;
  save_weights(folder / "w.safetensors", 1, 3, 16);
  save_gz(folder / "scan.nii.gz", oblique_nifti());
  for (const std::string size : {"1", "13", "18"}) {
    const Outcome o = run_patchcl("predict --size " + size + " --weights " + folder / "w.safetensors " +
                                  folder / "scan.nii.gz " + folder / "m.nii");
    EXPECT_EQ(o.code, 0) << size << o.output;
    EXPECT_EQ(contains(o.output, "--size 13 is taken as 16"), size == "13") << o.output;
    EXPECT_EQ(bytes_of(folder / "m.nii").size(), 352u + 210);
  }
}

TEST(Eval, PrintsTheSameNumbersAsTableJsonAndCsv) {
  const TemporaryFolder folder;
  save_weights(folder / "w.safetensors", 1, 4, 32);
  const std::string command =
      "eval --data phantom:cases=3,val=2,size=40,slices=3 --weights " + folder / "w.safetensors";
  const Outcome o = run_patchcl(command + " --json " + folder / "s.json --csv " + folder / "s.csv");
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "mean of 2 cases")) << o.output;
  EXPECT_TRUE(contains(o.output, wrapped("conventions: " + describe(MetricOptions{}), 110, 2))) << o.output;
  std::ifstream json_file(folder / "s.json"), csv_file(folder / "s.csv");
  const nlohmann::json j = nlohmann::json::parse(json_file);
  ASSERT_EQ(j["cases"].size(), 2u);
  EXPECT_EQ(j["conventions"], describe(MetricOptions{}));
  double sum = 0;
  int classes = 0;
  for (const auto& [name, s] : j["mean_of_cases"].items()) {
    ++classes;
    sum += s["dice"].get<double>();
  }
  EXPECT_EQ(classes, 3);
  EXPECT_NEAR(sum / 3, j["mean_of_classes"]["dice"].get<double>(), 1e-12);
  int lines = 0;
  for (std::string line; std::getline(csv_file, line);) ++lines;
  EXPECT_EQ(lines, 1 + 2 * 3 + 3 + 1 + 3) << "names, classes of cases, their means, the mean, pooled";
  const Outcome bare = run_patchcl(command + " --preset ssl4mis --json -");
  ASSERT_EQ(bare.code, 0) << bare.output;
  EXPECT_EQ(json_in(bare)["conventions"], describe(MetricOptions::ssl4mis()));
}

TEST(Eval, BadInputIsNamed) {
  const TemporaryFolder folder;
  save_weights(folder / "w.safetensors", 1, 4, 32);
  const std::string phantom = "--data phantom:cases=2,val=1,size=32,slices=2 ",
                    w = "--weights " + folder / "w.safetensors ";
  const auto expect = [&](const std::string& arguments, ExitCode code, const std::string& message) {
    const Outcome o = run_patchcl("eval " + arguments);
    EXPECT_EQ(o.code, int(code)) << arguments << "\n" << o.output;
    EXPECT_TRUE(contains(o.output, message)) << arguments << "\n" << o.output;
  };
  expect(phantom, ExitCode::usage, "--weights");
  expect(w, ExitCode::usage, "--data");
  expect(phantom + "--weights " + folder / "none.safetensors", ExitCode::checkpoint, "none.safetensors");
  expect("--data " + folder / "nowhere " + w, ExitCode::data, "nowhere");
  expect(phantom + w + "--empty maybe", ExitCode::usage, "--empty");
  expect(phantom + w + "--preset ssl4mis --spacing mm", ExitCode::usage, "--preset");
  expect(phantom + w + "--json " + folder / "w.safetensors/s.json", ExitCode::io, "cannot create the folder");
  save_weights(folder / "two.safetensors", 1, 2, 32);
  expect(phantom + "--weights " + folder / "two.safetensors", ExitCode::data, "class");
}

// As `predict` makes the folder of its masks.
TEST(OutputFiles, GetTheirFolders) {
  const TemporaryFolder folder;
  save_weights(folder / "w.safetensors", 1, 4, 32);
  save_gz(folder / "scan.nii.gz", oblique_nifti());
  const std::string w = " --threads 1 --weights " + folder / "w.safetensors ";
  const Outcome predicted = run_patchcl("predict" + w + folder / "scan.nii.gz " + folder / "a/b/mask.nii.gz");
  EXPECT_EQ(predicted.code, 0) << predicted.output;
  const std::string mask = folder / "a/b/mask.nii.gz";
  EXPECT_EQ(run_patchcl("score " + mask + " " + mask + " --csv " + folder / "c/s.csv").code, 0);
  EXPECT_EQ(
      run_patchcl("eval --data phantom:cases=2,val=1,size=32,slices=2" + w + "--json " + folder / "d/s.json")
          .code,
      0);
  for (const char* file : {"a/b/mask.nii.gz", "c/s.csv", "d/s.json"})
    EXPECT_TRUE(std::filesystem::exists(folder / file)) << file;
}

TEST(OutputFiles, AMessageSaysWhatIsThere) {
  const TemporaryFolder folder;
  const auto said = [](const std::string& path) {
    try {
      write_text(path, "x");
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  const std::string missing = said(folder / "none/file");
  EXPECT_TRUE(contains(missing, "none/file was not written; write elsewhere")) << missing;
  write_text(folder / "old", "before");
  std::filesystem::create_directory(folder / "old.tmp");  // in the way of the new one
  const std::string there = said(folder / "old");
  EXPECT_TRUE(contains(there, "old of before is untouched")) << there;
}

TEST(Inspect, WritesPicturesByTheirEnding) {
  const TemporaryFolder folder;
  save_weights(folder / "w.safetensors", 1, 4, 32);
  save_gz(folder / "scan.nii.gz", oblique_nifti());
  const std::string command =
      "inspect --weights " + folder / "w.safetensors --image " + folder / "scan.nii.gz --out ";
  for (const char* name : {"x.pdf", "x.jpg", "x"}) {
    const Outcome o = run_patchcl(command + folder / name);
    EXPECT_EQ(o.code, int(ExitCode::usage)) << o.output;
    EXPECT_TRUE(contains(o.output, ".svg or .png")) << o.output;
    EXPECT_FALSE(std::filesystem::exists(folder / name)) << name;
  }
  const Outcome o = run_patchcl(command + folder / "new/x.SVG --html " + folder / "page/x.html");
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(read_text(folder / "new/x.SVG").starts_with("<svg"));
  // Each slider in one piece with its name and value.
  EXPECT_TRUE(contains(read_text(folder / "page/x.html"), ".controls label{white-space:nowrap"));
  ASSERT_EQ(run_patchcl(command + folder / "x.PNG").code, 0);
  EXPECT_TRUE(contains(read_text(folder / "x.PNG").substr(0, 8), "PNG"));
}
