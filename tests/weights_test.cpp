// Weights as users load them: the networks that come with the sources, the two of a checkpoint.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "tests/command_line.h"
#include "train/setup/model_file.h"

using namespace patchcl;
using namespace patchcl::test;

// weights/README.md: networks for ACDC.
TEST(Weights, OfTheTreeLoadAndAreSmall) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator("weights")) {
    if (entry.path().extension() != ".safetensors") continue;
    const Arena arena("test");
    const auto model = load_model(entry.path().string(), arena);
    EXPECT_EQ(model->layout.parameter_count(), 1813764) << entry.path();
    EXPECT_EQ(model->info.class_names, (std::vector<std::string>{"background", "RV", "Myo", "LV"}));
    EXPECT_LE(std::filesystem::file_size(entry.path()), 8u << 20);
    ++files;
  }
  EXPECT_EQ(files, 6);
}

TEST(Weights, ACheckpointHasAStudentAndATeacherToAskFor) {
  const TemporaryFolder folder;
  const Arena arena("test");
  ModelInfo info;
  info.unet = {.classes = 2, .widths = {4, 6}, .dropout = {0, 0}};
  info.size = 16;
  Model student(info, arena), teacher(info, arena);
  student.weights.init(1);
  teacher.weights.init(2);
  TensorFile file;
  put_model_info(file, info);
  put_weights(file, student.weights, 0);
  save_tensors(folder / "best.safetensors", file);
  put_weights(file, teacher.weights, 0, "teacher.");
  save_tensors(folder / "last.safetensors", file);
  const auto same = [](const Model& a, const Model& b) {
    const Tensor &x = a.weights.values(), &y = b.weights.values();
    return std::memcmp(x.raw(), y.raw(), x.bytes()) == 0;
  };
  EXPECT_TRUE(same(*load_model(folder / "last.safetensors", arena), student));
  EXPECT_TRUE(same(*load_model(folder / "last.safetensors", arena, /*teacher=*/true), teacher));
  EXPECT_TRUE(same(*load_model(folder.path(), arena, /*teacher=*/true), teacher));
  const Outcome o = run_patchcl(
      "eval --teacher --data phantom:cases=2,val=1,size=16 --weights " + folder / "best.safetensors");
  EXPECT_EQ(o.code, 6) << o.output;
  EXPECT_TRUE(contains(o.output, "has no teacher")) << o.output;
}
