// A method's options: its own alone, in range, and none that has no effect beside the others.
#include <gtest/gtest.h>

#include "train/setup/learner.h"

using namespace patchcl;

namespace {

// What a method says of these options; nothing where it takes them.
std::string message(const std::string& method, const OptionValues& values) {
  try {
    Learner(method, values,
        LearnerOptions{.network = {.widths = {4, 8}, .dropout = {0, 0}},
            .optimizer = {},
            .run = {.batch = 4, .size = 16}});
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::usage);
    return e.what();
  }
  return "";
}

}  // namespace

TEST(MethodOptions, ReadTheirOwnAndRefuseOthers) {
  EXPECT_NE(
      message("ua-mt", {{"copy-paste", "true"}}).find("mean-teacher, fixmatch, patchcl"), std::string::npos);
  EXPECT_NE(message("supervised", {{"copy-paste", "true"}}), "");
  EXPECT_NE(message("ua-mt", {{"consistency", "ce"}}), "");
  EXPECT_NE(message("fixmatch", {{"ema", "0.5"}}), "");
  EXPECT_NE(message("mean-teacher", {{"confidence", "0.9"}}).find("has no effect"), std::string::npos);
  EXPECT_EQ(message("mean-teacher", {{"confidence", "0.9"}, {"consistency", "ce"}}), "");
  EXPECT_NE(message("mean-teacher", {{"ema", "1.5"}}).find("--ema '1.5' is not in [0,1]"), std::string::npos);
  EXPECT_NE(message("patchcl", {{"contrast", "info-nce"}, {"tau", "0.5"}}), "");
  EXPECT_NE(message("patchcl", {{"info-nce-tau", "0.5"}}), "");
  EXPECT_NE(message("patchcl", {{"contrast", "off"}, {"contrast-match", "0.1"}}), "");
  EXPECT_NE(message("local-contrast", {{"ema", "0.9"}}), "");
  EXPECT_NE(message("local-contrast", {{"block", "8"}}).find("without --pixels block"), std::string::npos);
  EXPECT_NE(message("local-contrast", {{"stride", "2"}, {"pixels", "block"}}), "");
  EXPECT_NE(message("patchcl", {{"queue", "1"}}).find("--queue '1' is not at least 2"), std::string::npos);
  EXPECT_NE(
      message("mean-teacher", {{"consistensy", "ce"}}).find("did you mean 'consistency'"), std::string::npos);
  EXPECT_NE(message("mean-techer", {}).find("did you mean 'mean-teacher'"), std::string::npos);
  EXPECT_NE(message("patchcl", {{"sampling", "entropi"}}).find("did you mean 'entropy'"), std::string::npos);
}

TEST(MethodOptions, HaveAnEffectOrAreRefused) {
  EXPECT_NE(message("base", {{"consistency", "mse"}, {"mix", "none"}, {"confidence", "0.5"}}), "");
  EXPECT_NE(message("base", {{"consistency", "mse"}, {"mix", "none"}, {"largest-component", "true"}}), "");
  EXPECT_NE(message("mean-teacher", {{"copy-paste", "true"}, {"consistency-weight", "5"}}), "");
  EXPECT_NE(message("mean-teacher", {{"copy-paste", "true"}, {"ramp-up", "0.9"}}), "");
  EXPECT_EQ(message("patchcl", {{"copy-paste", "true"}, {"ramp-up", "0.9"}, {"contrast-ramp", "true"}}), "");
  EXPECT_NE(message("patchcl", {{"warm-up", "0"}, {"warm-up-tau", "0.5"}}), "");
  EXPECT_NE(message("patchcl", {{"area-filter", "off"}, {"area-target", "0.5"}}), "");
  EXPECT_NE(message("patchcl", {{"contrast", "intra-inter"}, {"queue-ready", "4"}}), "");
  EXPECT_NE(message("patchcl", {{"contrast", "off"}, {"embed", "region"}}), "");
  EXPECT_NE(message("patchcl", {{"sampling", "uniform"}, {"entropy-of", "attended"}}), "");
  EXPECT_EQ(message("patchcl", {{"sampling", "top-k"}, {"entropy-of", "attended"}}), "");
  EXPECT_NE(message("mean-teacher", {{"copy-paste", "true"}, {"labeled-batch", "1"}}), "");
  EXPECT_NE(message("mean-teacher", {{"pdcr-decoder", "0.1"}, {"pdcr-levels", "1"}}), "");
  EXPECT_NE(message("local-contrast", {{"local-share", "0"}, {"tau", "0.5"}}), "");
  EXPECT_NE(message("local-contrast", {{"local-share", "0"}, {"denominator", "negatives"}}), "");
}
