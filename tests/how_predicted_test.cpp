// Options of eval and predict: each reaches the mask, and what was not usual is said beside the scores.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "data/objects.h"
#include "tensor/file.h"
#include "tests/command_line.h"
#include "tests/json_output.h"
#include "tests/small_model.h"
#include "train/evaluate/inference.h"

using namespace patchcl;
using namespace patchcl::test;
using nlohmann::json;
using patchcl::test::Outcome;

namespace {

// A picture larger than the network, and what `predict` makes of it.
class HowPredicted : public testing::Test {
 protected:
  void SetUp() override {
    save_picture(image_, 41);
    save_random_model(weights_);
  }
  std::vector<uint8_t> predicted(const std::string& flags) const {
    const std::string mask = folder_ / "mask.png";
    const Outcome o =
        run_patchcl("predict --threads 1 --weights " + weights_ + " " + image_ + " " + mask + " " + flags);
    EXPECT_EQ(o.code, 0) << flags << o.output;
    const Grid grid = read_grid(mask);
    return {grid.values.begin(), grid.values.end()};
  }
  Segmentation segmented(const InferenceOptions& options) const {
    const auto model = load_model(weights_, arena_);
    return segment({{&model->unet, &model->weights}}, read_volume(image_), options, arena_);
  }
  void save_with(const std::string& path, Fit fit) const {
    ModelInfo info = small_network();
    info.fit = fit;
    save_random_model(path, info);
  }
  TemporaryFolder folder_;
  const Arena arena_{"test"};
  const std::string image_ = folder_ / "image.png", weights_ = folder_ / "w.safetensors";
};

const std::string kHearts = "--data phantom:cases=4,val=2,size=40,slices=";

}  // namespace

TEST_F(HowPredicted, EachOptionReachesTheMask) {
  const InferenceOptions usual{.size = kSide};
  const std::vector<uint8_t> plain = segmented(usual).classes;
  EXPECT_EQ(predicted(""), plain);
  const auto expect = [&](const std::string& flags, const std::function<void(InferenceOptions&)>& change) {
    InferenceOptions options = usual;
    change(options);
    const std::vector<uint8_t> mask = predicted(flags);
    EXPECT_EQ(mask, segmented(options).classes) << flags;
    EXPECT_NE(mask, plain) << flags;
  };
  expect("--tta", [](auto& o) { o.turns = true; });
  expect("--fit crop", [](auto& o) { o.fit = Fit::crop; });
  expect("--fit crop --overlap 0.1", [](auto& o) { o.fit = Fit::crop, o.overlap = 0.1; });
  expect("--fit bilinear", [](auto& o) { o.fit = Fit::bilinear; });
  expect("--bilinear-back", [](auto& o) { o.bilinear_back = true; });
  expect("--largest-component", [](auto& o) { o.largest_component = true; });
  expect("--size 24", [](auto& o) { o.size = 24; });
  EXPECT_NE(predicted("--fit crop --overlap 0.1"), predicted("--fit crop"));
}

TEST_F(HowPredicted, WeightsOfWindowsPredictOnWindowsUnlessTold) {
  const std::vector<uint8_t> resized = segmented({.size = kSide}).classes;
  save_with(weights_, Fit::crop);
  EXPECT_EQ(predicted(""), segmented({.fit = Fit::crop, .size = kSide}).classes);
  EXPECT_NE(predicted(""), resized);
  EXPECT_EQ(predicted("--fit resize"), resized);
}

TEST_F(HowPredicted, TheTeacherIsAskedFor) {
  const auto student = random_model(4, arena_), teacher = random_model(5, arena_);
  TensorFile file;
  put_model_info(file, student->info);
  put_weights(file, student->weights, 0);
  put_weights(file, teacher->weights, 0, "teacher.");
  save_tensors(weights_, file);
  const std::vector<uint8_t> of_student = predicted(""), of_teacher = predicted("--teacher");
  EXPECT_NE(of_teacher, of_student);
  save_model(weights_, *teacher);
  EXPECT_EQ(of_teacher, predicted(""));
}

TEST_F(HowPredicted, HolesOfObjectsAreFilledUnlessTold) {
  ModelInfo info = small_network(2);
  info.fit = Fit::crop;
  save_random_model(weights_, info);
  const Segmentation s = segmented({.fit = Fit::crop, .size = kSide});
  const auto objects = [&](bool fill) {
    const std::vector<int32_t> numbers =
        number_objects(s.of_network.data(), 41, 41, {.least = 1, .fill_holes = fill});
    return std::vector<uint8_t>(numbers.begin(), numbers.end());
  };
  EXPECT_NE(objects(false), objects(true));
  EXPECT_EQ(predicted("--instances --min-size 1 --fill-holes false"), objects(false));
  EXPECT_EQ(predicted("--instances --min-size 1"), objects(true));
}

// A slice is zoomed to the size that is named, not to a smaller one and continued.
TEST_F(HowPredicted, ASizeThatTheNetworkCannotHalveIsRoundedForEveryFit) {
  for (const std::string fit : {"resize", "bilinear", "crop"})
    EXPECT_EQ(predicted("--size 18 --fit " + fit), predicted("--size 20 --fit " + fit)) << fit;
  EXPECT_EQ(predicted("--size 18"), segmented({.size = 20}).classes);
  EXPECT_NE(predicted("--size 18"), segmented({.size = 18}).classes);
}

TEST(Eval, SaysHowItPredicted) {
  const TemporaryFolder folder;
  save_random_model(folder / "w.safetensors", small_network(4));
  const std::string eval =
      "eval --weights " + folder / "w.safetensors " + kHearts + "2 --json " + folder / "s.json ";
  const Outcome plain = run_patchcl(eval);
  ASSERT_EQ(plain.code, 0) << plain.output;
  EXPECT_FALSE(contains(plain.output, "; with --")) << plain.output;
  json j = json::parse(read_text(folder / "s.json"));
  const json usual{{"split", "val"}, {"val", -1}, {"tune", 0}, {"fold", ""}, {"teacher", false},
      {"fit", "resize"}, {"size", 16}, {"tta", false}, {"bilinear_back", false}, {"largest_component", false},
      {"math", "f32"}};
  for (const auto& [key, value] : usual.items()) EXPECT_EQ(j[key], value) << key;
  EXPECT_FALSE(j.contains("overlap"));
  const Outcome other = run_patchcl(
      eval + "--split train --fit crop --overlap 0.25 --size 18 --tta --largest-component --math bf16",
      "COLUMNS=400");
  ASSERT_EQ(other.code, 0) << other.output;
  std::string text = other.output;
  for (size_t at; (at = text.find("\n  ")) != std::string::npos;) text.replace(at, 3, " ");
  EXPECT_TRUE(contains(text,
      "; with --split train --fit crop --size 20 --overlap 0.25 --tta "
      "--largest-component --math bf16\n"))
      << text;
  j = json::parse(read_text(folder / "s.json"));
  const json changed{{"split", "train"}, {"fit", "crop"}, {"size", 20}, {"overlap", 0.25}, {"tta", true},
      {"largest_component", true}, {"math", "bf16"}};
  for (const auto& [key, value] : changed.items()) EXPECT_EQ(j[key], value) << key;
}

TEST(Eval, ObjectsSayHowTheyWereMade) {
  const TemporaryFolder folder;
  save_random_model(folder / "w.safetensors", small_network(4));
  const Outcome o = run_patchcl("eval --objects --fill-holes false --min-size 7 --json - --weights " +
                                folder / "w.safetensors " + kHearts + "1");
  ASSERT_EQ(o.code, 0) << o.output;
  const json j = json_in(o);
  EXPECT_EQ(j.at("min_size"), 7);
  EXPECT_EQ(j.at("fill_holes"), false);
}

TEST(Eval, JsonAndCsvHoldAllNumbers) {
  const TemporaryFolder folder;
  save_random_model(folder / "w.safetensors", small_network(4));
  const Outcome o = run_patchcl("eval --weights " + folder / "w.safetensors " + kHearts + "2 --json " +
                                folder / "s.json --csv " + folder / "s.csv");
  ASSERT_EQ(o.code, 0) << o.output;
  const json j = json::parse(read_text(folder / "s.json"));
  const auto number = [](const json& v) {  // as the table writes it
    std::ostringstream s;
    s.precision(17);
    s << (v.is_null() ? std::nan("") : v.get<double>());
    return s.str();
  };
  const std::string csv = read_text(folder / "s.csv");
  EXPECT_TRUE(csv.starts_with("case,class,dice,jaccard,hd95,asd,sensitivity,specificity,pixel_accuracy\n"));
  for (const json& c : j["cases"])
    for (const auto& [name, s] : c["classes"].items()) {
      std::string line = c["id"].get<std::string>() + "," + name;
      for (const char* key : {"dice", "jaccard", "hd95", "asd", "sensitivity", "specificity"})
        line += "," + number(s.at(key));
      EXPECT_TRUE(contains(csv, "\n" + line + "," + number(c["pixel_accuracy"]) + "\n")) << line << "\n"
                                                                                         << csv;
    }
  for (const auto& [name, s] : j["pooled"].items())
    EXPECT_TRUE(contains(csv, "\npooled," + name + "," + number(s["dice"]) + ",,,," +
                                  number(s["sensitivity"]) + "," + number(s["specificity"]) + ",\n"))
        << csv;
  EXPECT_TRUE(contains(csv, ",,," + number(j["pixel_accuracy"]) + "\n")) << csv;
}
