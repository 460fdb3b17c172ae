// Masks that number objects, from the folder to the scores, and the border class learnt from them.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "data/stream/dataset.h"
#include "tests/command_line.h"
#include "tests/json_output.h"
#include "tests/small_data.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

constexpr int64_t kSide = 32;

// Four pictures of two touching glands, numbered 300 and 7 by 16 bits.
void write_glands(const std::string& dir) {
  std::filesystem::create_directories(dir + "/images");
  std::filesystem::create_directories(dir + "/masks");
  for (int i = 0; i < 4; ++i) {
    std::vector<uint8_t> image(kSide * kSide, 30);
    std::vector<uint16_t> numbers(kSide * kSide);
    for (int64_t y = 4; y < 28; ++y)
      for (int64_t x = 2; x < 30; ++x) {
        const size_t at = size_t(y * kSide + x);
        numbers[at] = x < 14 + i ? 300 : 7;
        image[at] = x == 14 + i ? 120 : 220;
      }
    const std::string name = "/gland" + std::to_string(i) + ".png";
    write_png(dir + "/images" + name, image.data(), kSide, kSide, 1);
    write_png(dir + "/masks" + name, numbers.data(), kSide, kSide, 1);
  }
}

}  // namespace

TEST(InstanceMasks, TrainAsOneClassAndKeepTheirNumbers) {
  const TemporaryFolder folder;
  write_glands(folder.path());
  EXPECT_THROW(Dataset::open(folder.path(), {}), Error);  // 300 is no class
  DatasetOptions plain{.validation = 1};
  plain.read.instance_masks = true;
  const Dataset data = Dataset::open(folder.path(), plain);
  EXPECT_EQ(data.classes(), 2);
  const Volume v = data.validation(0);
  EXPECT_EQ(std::set<int32_t>(v.objects.begin(), v.objects.end()), (std::set<int32_t>{0, 7, 300}));
  for (size_t i = 0; i < v.label.size(); ++i) ASSERT_EQ(v.label[i], v.objects[i] != 0);
  DatasetOptions bordered = plain;
  bordered.border = 2;
  const Dataset with_border = Dataset::open(folder.path(), bordered);
  EXPECT_EQ(with_border.class_names(), (std::vector<std::string>{"background", "object", "border"}));
  EXPECT_EQ(with_border.validation(0).label, v.label);
  const Slice s = with_border.item(0);
  const uint8_t* row = s.label + 16 * kSide;
  EXPECT_EQ(std::vector<uint8_t>(row, row + 17),
      (std::vector<uint8_t>{0, 0, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 1}));
}

TEST(InstanceMasks, OtherNumbersAndContradictionsAreErrors) {
  const TemporaryFolder folder;
  write_glands(folder.path());
  const Outcome both =
      run_patchcl("data check " + folder.path() + " --instance-masks true --label-values 0,7");
  EXPECT_EQ(both.code, int(ExitCode::usage)) << both.output;
  const Outcome good = run_patchcl("data check " + folder.path() + " --instance-masks true");
  EXPECT_EQ(good.code, 0) << good.output;
  EXPECT_TRUE(contains(good.output, "masks number objects")) << good.output;
}

TEST(InstanceMasks, BorderIsLearntRememberedAndGrownOver) {
  const TemporaryFolder folder;
  write_glands(folder / "data");
  const std::string data = folder / "data", run = folder / "run", weights = run + "/last.safetensors";
  const Outcome trained = run_patchcl("train --data " + data +
                                      " --instance-masks true --val 1 --border 2 --size 32 "
                                      "--batch 3 --iters 60 --lr 0.05 --widths 4 8 --dropout 0 0 --augment "
                                      "none --val-every 0 --threads 1 --out " +
                                      run);
  ASSERT_EQ(trained.code, 0) << trained.output;
  EXPECT_TRUE(contains(trained.output, "border class of 2 pixels")) << trained.output;
  const std::string evaluation =
      "eval --data " + data + " --instance-masks true --val 1 --json - --weights " + weights;
  const Outcome classes = run_patchcl(evaluation);
  ASSERT_EQ(classes.code, 0) << classes.output;
  const nlohmann::json scores = json_in(classes)["mean_of_cases"];
  EXPECT_EQ(scores.size(), 1u) << classes.output;  // the border is no class to score
  const Outcome objects = run_patchcl(evaluation + " --objects --min-size 1");
  ASSERT_EQ(objects.code, 0) << objects.output;
  const nlohmann::json pooled = json_in(objects)["pooled"];
  EXPECT_EQ(pooled["tp"].get<int>() + pooled["fn"].get<int>(), 2) << objects.output;
  const std::string predict =
      "predict --weights " + weights + " " + data + "/images/gland3.png " + folder / "p.png";
  ASSERT_EQ(run_patchcl(predict).code, 0);
  for (const double v : read_image(folder / "p.png", Use::mask).values) ASSERT_LE(v, 1);
  ASSERT_EQ(run_patchcl(predict + " --instances --min-size 1").code, 0);
  const Outcome scored =
      run_patchcl("score " + data + "/masks/gland3.png " + folder / "p.png --instances --json -");
  ASSERT_EQ(scored.code, 0) << scored.output;
  const nlohmann::json again = json_in(scored)["pooled"];
  EXPECT_EQ(again["tp"], pooled["tp"]);
  EXPECT_EQ(again["dice"], pooled["dice"]);
  EXPECT_EQ(run_patchcl(evaluation + " --objects --border-class 1").code, int(ExitCode::usage));
}

// The first step's cross-entropy grows in proportion to the weight; the weights file is one like any other.
TEST(InstanceMasks, BorderPixelsWeighWhatIsAsked) {
  const TemporaryFolder folder;
  write_glands(folder / "data");
  const std::string data = " --instance-masks true --val 1 --data " + folder / "data";
  const auto first_cross_entropy = [&](const std::string& border_weight) {
    const std::string run = folder / border_weight;
    const Outcome trained = run_patchcl("train" + data + " --border 2 --border-weight " + border_weight +
                                        " --size 32 --batch 3 --iters 3 --widths 4 8 --dropout 0 0 --augment "
                                        "none --val-every 0 --log-every 1 --threads 1 --out " +
                                        run);
    EXPECT_EQ(trained.code, 0) << trained.output;
    std::istringstream rows(read_text(run + "/metrics.jsonl"));
    std::string first;
    std::getline(rows, first);
    return nlohmann::json::parse(first)["ce"].get<double>();
  };
  const double none = first_cross_entropy("0"), two = first_cross_entropy("2"),
               four = first_cross_entropy("4");
  EXPECT_GT(two, 1.2 * none);
  EXPECT_NEAR(four - none, 2 * (two - none), 1e-5);
  const Outcome scored = run_patchcl("eval" + data + " --weights " + folder / "4/last.safetensors");
  EXPECT_EQ(scored.code, 0) << scored.output;
  const Outcome alone = run_patchcl("train" + data + " --border-weight 4 --out " + folder / "alone");
  EXPECT_EQ(alone.code, int(ExitCode::usage));
  EXPECT_TRUE(contains(alone.output, "--border-weight 4 has no effect without --border")) << alone.output;
}

TEST(Folds, ARunWritesTheFileThatListsThem) {
  const TemporaryFolder folder;
  write_glands(folder / "data");
  const std::string data = folder / "data", run = folder / "run";
  const Outcome trained = run_patchcl(
      "train --data " + data +
      " --instance-masks true --fold 2/2 --size 32 --batch 2 --iters 1 --widths 4 8 --dropout 0 0 --out " +
      run);
  ASSERT_EQ(trained.code, 0) << trained.output;
  const auto held_out = [&](const std::string& fold) {
    DatasetOptions options{.fold = fold};
    options.read.instance_masks = true;
    const Dataset d = Dataset::open(data, options);
    std::vector<std::string> ids;
    for (int64_t i = 0; i < d.validation_cases(); ++i) ids.push_back(d.validation(i).id);
    return ids;
  };
  const auto first = held_out("1/2"), second = held_out("2/2");
  EXPECT_EQ(second, (std::vector<std::string>{"gland1", "gland3"}));
  std::ifstream file(run + "/splits_final.json");
  const nlohmann::json folds = nlohmann::json::parse(file);
  ASSERT_EQ(folds.size(), 2u);
  EXPECT_EQ(folds[0]["val"], nlohmann::json(first));
  EXPECT_EQ(folds[0]["train"], nlohmann::json(second));
  // And it is read again for what it says.
  std::filesystem::copy_file(run + "/splits_final.json", data + "/splits_final.json");
  EXPECT_EQ(held_out("1/2"), first);
  EXPECT_EQ(held_out("2/2"), second);
}
