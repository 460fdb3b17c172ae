// What a run is told arrives where it acts: learning rates, seeds, the optimiser's options, held-out
// patients; and its best weights are the best.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tensor/file.h"
#include "tensor/io.h"
#include "tests/command_line.h"
#include "tests/json_output.h"
#include "train/setup/config.h"
#include "train/setup/learner.h"

using namespace patchcl;
using namespace patchcl::test;
using nlohmann::json;

namespace {

const std::string kPhantom = "--data phantom:cases=4,val=1,size=32,slices=3 --labeled 2 ";

std::string small(const std::string& run, const std::string& more) {
  return "train " + kPhantom + "--size 16 --batch 4 --widths 2,4 --dropout 0,0.1 --threads 1 --log-every 1 " +
         "--device cpu --out " + run + " " + more;
}

// The lines of metrics.jsonl.
std::vector<json> metrics_of(const std::string& run) {
  std::istringstream text(read_text(run + "/metrics.jsonl"));
  std::vector<json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  return lines;
}

std::vector<double> rates_of(const std::string& options) {
  const TemporaryFolder folder;
  const patchcl::test::Outcome o =
      run_patchcl(small(folder / "run", "--iters 4 --lr 0.1 --val-every 0 " + options));
  EXPECT_EQ(o.code, 0) << o.output;
  std::vector<double> rates;
  for (const json& line : metrics_of(folder / "run"))
    if (line.contains("lr")) rates.push_back(line["lr"]);
  return rates;
}

void expect_rates(const std::string& options, const std::vector<double>& want) {
  const std::vector<double> rates = rates_of(options);
  ASSERT_EQ(rates.size(), want.size()) << options;
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(rates[i], want[i], 1e-6) << options << " step " << i;
}

TrainConfig parsed(const std::string& toml) { return from_toml(toml, "here"); }

LearnerOptions learner_of(const std::string& toml) {
  return parsed("labeled=\"2\"\nsize=16\nwidths=[2,4]\ndropout=[0,0]\n" + toml)
      .learner_options(Dataset::open("phantom:cases=4,val=1,size=32,slices=3"));
}

std::vector<float> initial_weights(const std::string& toml) {
  Learner learner("supervised", {}, learner_of(toml));
  const Tensor& w = learner.student().values();
  return {w.data<float>(), w.data<float>() + w.numel()};
}

}  // namespace

TEST(RunWiring, TheLearningRateIsThatOfItsSchedule) {
  const auto poly = [](double t) { return 0.1 * std::pow(1 - t / 4, 0.9); };
  expect_rates("", {0.1, poly(1), poly(2), poly(3)});
  expect_rates("--method bcp --pre-training 0.5", {0.1, 0.1, 0.1, 0.1});
  expect_rates("--method bcp --pre-training 0.5 --schedule poly", {0.1, poly(1), poly(2), poly(3)});
  expect_rates("--schedule cosine", {0.1, 0.085355339, 0.05, 0.014644661});
  expect_rates("--schedule constant --lr-warm-up 2", {0.05, 0.1, 0.1, 0.1});
}

TEST(RunWiring, SeedAndOptimiserReachTheLearner) {
  const LearnerOptions o = learner_of("momentum=0.7\nweight-decay=0.01\nseed=5\n");
  EXPECT_EQ(o.optimizer.momentum, 0.7);
  EXPECT_EQ(o.optimizer.weight_decay, 0.01);
  EXPECT_EQ(o.seed, 5u);
  EXPECT_EQ(o.optimizer.kind, OptimizerKind::sgd);
  EXPECT_EQ(learner_of("optimizer=\"adam\"\n").optimizer.kind, OptimizerKind::adam);
  EXPECT_NE(initial_weights("seed=5\n"), initial_weights("seed=6\n"));
}

TEST(RunWiring, TuneHoldsOutTrainingPatientsAndEvalOfTheRunScoresThem) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const patchcl::test::Outcome train = run_patchcl(small(run, "--iters 1 --tune 1"));
  ASSERT_EQ(train.code, 0) << train.output;
  EXPECT_TRUE(contains(train.output, "TUNING: the last 1")) << train.output;
  const auto ids = [&](const std::string& more) {
    const patchcl::test::Outcome o = run_patchcl("eval --threads 1 --json - " + more);
    EXPECT_EQ(o.code, 0) << o.output;
    std::vector<std::string> all;
    const json scores = json_in(o);
    for (const json& c : scores.at("cases")) all.push_back(c.at("id"));
    return all;
  };
  const std::string data = "--data phantom:cases=4,val=1,size=32,slices=3 ";
  const std::vector<std::string> scored = ids(data + "--weights " + run);
  ASSERT_EQ(scored.size(), 1u);
  TrainConfig c = parsed(read_text(run + "/config.toml"));
  EXPECT_EQ(c.dataset_options().tune, 1);
  c.tune = 0;
  const Dataset plain = Dataset::open(c.data, c.dataset_options());
  EXPECT_NE(plain.validation(0).id, scored[0]);
}

// At a high, constant rate the last validation is seldom the best one.
TEST(RunWiring, TheBestWeightsAreThoseOfTheBestValidation) {
  int before_the_end = 0;
  for (const std::string& more : {std::string("--method supervised"), std::string("--method mean-teacher"),
           std::string("--method supervised --fit crop")}) {
    const TemporaryFolder folder;
    const std::string run = folder / "run";
    const patchcl::test::Outcome train = run_patchcl(
        "train " + kPhantom +
        "--size 32 --batch 4 --widths 4,8 --dropout 0,0 --threads 1 --iters 60 --lr 0.5 --schedule constant "
        "--val-every 5 --seed 5 --device cpu --out " +
        run + " " + more);
    ASSERT_EQ(train.code, 0) << train.output;
    double best = -1;
    int64_t at = 0;
    for (const json& line : metrics_of(run)) {
      if (!line.contains("validation")) continue;
      const double dice = line["validation"]["mean"]["dice"];
      if (dice > best) best = dice, at = line["iteration"];
    }
    ASSERT_GE(best, 0) << more;
    const TensorFile file = load_tensors(run + "/best.safetensors", Arena("test"));
    EXPECT_EQ(std::stoll(file.metadata.at("iteration")), at) << more;
    before_the_end += best > 0 && at < 60;
    const auto dice_of = [&](const std::string& weights) {
      const patchcl::test::Outcome o = run_patchcl(
          "eval --threads 1 --preset ssl4mis --json - --data phantom:cases=4,val=1,size=32,slices=3 "
          "--weights " +
          run + weights);
      EXPECT_EQ(o.code, 0) << o.output;
      return json_in(o).at("mean_of_classes").at("dice").get<double>();
    };
    const auto said = [&](const std::string& file) {
      return json::parse(read_text(run + file)).at("mean").at("dice").get<double>();
    };
    EXPECT_EQ(said("/best.json"), best) << more;
    EXPECT_NEAR(dice_of("/best.safetensors"), best, 1e-12) << more;
    EXPECT_NEAR(dice_of("/last.safetensors"), said("/results.json"), 1e-12) << more;
  }
  EXPECT_GT(before_the_end, 0) << "else this test says nothing";
}
