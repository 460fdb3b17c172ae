// Audits of a run: during training, and of its checkpoint.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tensor/error.h"
#include "tensor/io.h"
#include "tests/command_line.h"
#include "tests/json_output.h"
#include "tests/training_runs.h"
#include "train/audit/run_audit.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

std::string options(const std::string& method, const std::string& out, const std::string& more) {
  return "train --data phantom:cases=4,val=1,size=32,slices=3 --labeled 2 --size 32 --batch 4 --widths 4 8 "
         "--dropout 0.1 0.2 --iters 9"
         " --val-every 0 --threads 1 --method " +
         method + if_read(method, "queue-ready", "8") + " --out " + out + " " + more;
}

class EveryRun : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(RunAudit, EveryRun, testing::ValuesIn(program_methods()), [](const auto& info) {
  std::string n = info.param;
  std::erase(n, '-');
  return n;
});

TEST_P(EveryRun, IsSpotCheckedWithoutBeingDisturbed) {
  TemporaryFolder folder;
  const std::string plain = folder / "plain", audited = folder / "audited";
  ASSERT_EQ(run_patchcl(options(GetParam(), plain, "")).code, 0);
  const Outcome o = run_patchcl(options(GetParam(), audited, "--audit-every 4"));
  ASSERT_EQ(o.code, 0) << o.output;
  std::ifstream in(audited + "/audit.jsonl");
  int lines = 0;
  for (std::string line; std::getline(in, line); ++lines) {
    const auto j = nlohmann::json::parse(line);
    EXPECT_EQ(j.at("iteration"), 4 * (lines + 1));
    EXPECT_EQ(j.at("checks").size(), 3u);
    for (const auto& check : j.at("checks")) EXPECT_NE(check.at("verdict"), "FAILED") << line;
    EXPECT_GT(j.at("terms").at(0).at("gradient_norm").at("encoder.in_conv"), 0);
  }
  EXPECT_EQ(lines, 2);
  const Arena memory("test");
  const TensorFile a = load_tensors(plain + "/last.safetensors", memory),
                   b = load_tensors(audited + "/last.safetensors", memory);
  for (const auto& [name, t] : a.tensors)
    EXPECT_EQ(std::memcmp(t.raw(), b.tensors.at(name).raw(), t.bytes()), 0) << name;
}

TEST_P(EveryRun, IsAuditedFromItsCheckpoint) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  ASSERT_EQ(run_patchcl(options(GetParam(), run, "")).code, 0);
  const Outcome o = run_patchcl("audit run --json " + run);
  EXPECT_EQ(o.code, 0) << o.output;
  const nlohmann::json all = json_in(o), j = all.at("steps").at(0);
  EXPECT_EQ(j.at("verdict"), "ok");
  EXPECT_NE(j.at("what").get<std::string>().find("step 9 of 9"), std::string::npos) << j.at("what");
}

TEST(RunAudit, AWrongGradientStopsTheRunAndNamesTheTensor) {
  SpotCheck spot;
  ParameterCheck wrong;
  wrong.name = "encoder.in_conv.conv_conv.0.weight";
  wrong.where = "entry (0,0,0,3): analytic 0.125, numeric 0.25";
  wrong.judged = 1;
  wrong.error_over_tolerance = 1e5;
  spot.checks.push_back(wrong);
  try {
    demand(spot, 41);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::audit);
    for (const char* part : {"step 42", "encoder.in_conv.conv_conv.0.weight", "analytic 0.125, numeric 0.25"})
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
  }
  spot.checks[0].error_over_tolerance = 0.5;
  EXPECT_NO_THROW(demand(spot, 41));
}

TEST(RunAudit, WhatIsNoRunIsRefused) {
  TemporaryFolder folder;
  EXPECT_NE(run_patchcl("audit run " + folder.path()).code, 0);
}

}  // namespace

// The weight of PatchCL's contrast: as asked for until step 200, then from the gradients measured there. A
// run that is cut behind it ends in the same bits.
TEST(RunAudit, TheContrastsWeightFollowsItsGradients) {
  TemporaryFolder folder;
  const std::string whole = folder / "whole", cut = folder / "cut";
  const std::string more =
      "--contrast-match 0.2 --contrast-weight 0.3 --queue-ready 2 --log-every 1 --iters 204";
  const auto weights = [](const std::string& run) {
    std::vector<double> w;
    std::ifstream lines(run + "/metrics.jsonl");
    for (std::string line; std::getline(lines, line);) {
      const auto j = nlohmann::json::parse(line);
      if (j.contains("contrast_weight")) w.push_back(j.at("contrast_weight"));
    }
    return w;
  };
  ASSERT_EQ(run_patchcl(options("patchcl", whole, more)).code, 0);
  const std::vector<double> w = weights(whole);
  ASSERT_EQ(w.size(), 204u);
  for (size_t i = 0; i < 200; ++i) EXPECT_EQ(w[i], 0.3);
  EXPECT_GT(w[200], 0);
  EXPECT_NE(w[200], 0.3);
  for (size_t i = 201; i < 204; ++i) EXPECT_EQ(w[i], w[200]);
  EXPECT_EQ(interrupt_at(201, SIGINT, options("patchcl", cut, more), cut), 9);
  ASSERT_EQ(run_patchcl("train --resume " + cut).code, 0);
  expect_equal_checkpoints(whole + "/last.safetensors", cut + "/last.safetensors");
}
