// What predict and eval write takes the place of nothing that they read, and of nothing else that they write.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "tests/command_line.h"
#include "tests/image_files.h"
#include "tests/small_data.h"
#include "tests/small_model.h"

using namespace patchcl;
using namespace patchcl::test;
using patchcl::test::Outcome;
namespace fs = std::filesystem;

namespace {

std::map<std::string, Bytes> files_of(const std::string& folder) {
  std::map<std::string, Bytes> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[entry.path()] = read_bytes(entry.path());
  return files;
}

void expect_refused(const std::string& arguments, const std::string& message) {
  const Outcome o = run_patchcl(arguments);
  EXPECT_EQ(o.code, int(ExitCode::usage)) << arguments << "\n" << o.output;
  EXPECT_TRUE(contains(o.output, message)) << arguments << "\n" << o.output;
}

std::string network(const TemporaryFolder& folder, int channels, int classes) {
  ModelInfo info = small_network(classes);
  info.unet.in_channels = channels;
  save_random_model(folder / "w.safetensors", info);
  return "--threads 1 --weights " + folder / "w.safetensors ";
}

}  // namespace

TEST(PredictOutputs, NeverReplaceAFileOfTheDataSet) {
  const TemporaryFolder folder;
  const std::string w = network(folder, 3, 2), ds = folder / "ds", images = ds + "/images ",
                    masks = ds + "/masks ", out = folder / "out ";
  write_tiles(ds);
  fs::create_directory_symlink(ds + "/images", folder / "link");
  const auto before = files_of(ds);
  const std::string image = "would replace the image " + ds + "/images/tile_",
                    reference = "would replace the reference mask " + ds + "/masks/tile_";
  expect_refused("predict --split val " + w + ds + " " + images, image);
  expect_refused("predict --split val " + w + ds + " " + folder / "link", image);
  expect_refused("predict --split val " + w + ds + " " + masks, reference);
  expect_refused("predict " + w + images + masks, reference);
  expect_refused("predict " + w + images + folder / "ds/../ds/masks", reference);
  expect_refused("predict " + w + ds + "/images/tile_1.png " + masks, reference);
  expect_refused("predict " + w + images + out + "--png --overlays " + images, image);
  expect_refused("predict " + w + images + out + "--png --overlays " + masks, reference);
  expect_refused("eval --png " + w + "--data " + ds + " --overlays " + images, image);
  EXPECT_TRUE(files_of(folder / "out").empty()) << "nothing is written where anything is refused";
  EXPECT_EQ(files_of(ds), before);
  for (int twice = 0; twice < 2; ++twice) {  // masks of an earlier prediction may be replaced
    const Outcome o = run_patchcl("predict " + w + images + out);
    EXPECT_EQ(o.code, 0) << o.output;
  }
}

TEST(PredictOutputs, NeverReplaceEachOther) {
  const TemporaryFolder folder;
  const std::string w = network(folder, 1, 3), in = folder / "in ", out = folder / "out ";
  write_nifti_set(folder / "set", /*nnunet=*/false);
  std::string pairs;
  for (int i = 0; i < 2; ++i) {  // as a list may name them: every label.nii.gz is the case "label"
    const std::string here = "set/case" + std::to_string(i), from = folder / "set/", name = "case_000.nii.gz";
    fs::create_directory(folder / here);
    fs::copy_file(from + "imagesTr/" + name, folder / here + "/image.nii.gz");
    fs::copy_file(from + "labelsTr/" + name, folder / here + "/label.nii.gz");
    pairs += std::string(i ? "," : "") + R"({"image":"case)" + std::to_string(i) +
             R"(/image.nii.gz","label":"case)" + std::to_string(i) + R"(/label.nii.gz"})";
  }
  write_file(folder / "set/dataset.json",
      R"({"modality":{"0":"MRI"},"labels":{"0":"background","1":"a","2":"b"},"training":[)" + pairs + "]}");
  fs::create_directory(folder / "in");
  save_picture(folder / "in/a.png");
  fs::copy_file(folder / "set/case0/image.nii.gz", folder / "in/a.nii.gz");
  const std::string both = "would both become " + folder / "out";
  expect_refused("predict --split train " + w + folder / "set " + out, both + "/label.nii.gz");
  expect_refused("predict --probabilities " + w + in + out, both + "/a.probabilities.safetensors");
  expect_refused("predict " + w + in + out + "--overlays " + out, both + "/a.svg");
  expect_refused(
      "predict --png " + w + folder / "in/a.png " + folder / "out/ " + "--overlays " + out, both + "/a.png");
  EXPECT_TRUE(files_of(folder / "out").empty());
  EXPECT_EQ(run_patchcl("predict " + w + in + out).code, 0);
}

TEST(PredictOutputs, OfAStackOfPicturesAreNifti) {
  if (!built_with(tiff)) GTEST_SKIP() << "built without TIFF";
  const TemporaryFolder folder;
  const std::string w = network(folder, 1, 3);
  fs::create_directory(folder / "in");
  for (const std::string name : {"a.png", "c.png"}) save_picture(folder / "in/" + name);
  // The second page behind the first, without a header of its own; its sixth entry says where its pixels are.
  const Bytes page(256, 7);
  const uint32_t first = uint32_t(encoded_tiff(16, 16, 1, page).size()), pixels = first + 2 + 9 * 12 + 4;
  Bytes stack = encoded_tiff(16, 16, 1, page, first), second = encoded_tiff(16, 16, 1, page);
  second.erase(second.begin(), second.begin() + 8);
  for (size_t i = 0; i < 4; ++i) second[2 + 5 * 12 + 8 + i] = uint8_t(pixels >> 8 * i);
  stack.insert(stack.end(), second.begin(), second.end());
  write_bytes(folder / "in/b.tif", stack);
  ASSERT_EQ(read_grid(folder / "in/b.tif").depth, 2);
  const Outcome o = run_patchcl("predict " + w + folder / "in " + folder / "out");
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_EQ(read_grid(folder / "out/b.nii.gz").depth, 2);
  EXPECT_TRUE(fs::exists(folder / "out/c.png"));
  expect_refused("predict " + w + folder / "in/b.tif " + folder / "b.png", "does not fit into one PNG");
  expect_refused("predict --instances " + w + folder / "in " + folder / "objects", "for single images");
  EXPECT_TRUE(files_of(folder / "objects").empty());
}
