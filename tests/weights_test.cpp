// The networks that come with the sources.
#include <gtest/gtest.h>

#include <filesystem>

#include "train/setup/model_file.h"

using namespace patchcl;

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
