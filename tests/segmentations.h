// One network's masks in two kinds of arithmetic.
#pragma once
#include <gtest/gtest.h>

#include "tests/json_output.h"

namespace patchcl::test {

// The masks of a trained network with `--math` hardly differ from those in f32, but they do.
inline void expect_segments_as_in_f32(
    const std::string& weights, const std::string& hearts, const std::string& math) {
  nlohmann::json results[2];
  for (const bool coarse : {false, true}) {
    const Outcome o = run_patchcl(
        "eval --data " + hearts + " --weights " + weights + " --json - --math " + (coarse ? math : "f32"));
    ASSERT_EQ(o.code, 0) << o.output;
    results[coarse] = json_in(o)["cases"];
  }
  EXPECT_NE(results[0], results[1]);
  for (const char* name : {"RV", "Myo", "LV"})
    EXPECT_NEAR(results[0][0]["classes"][name]["dice"].get<double>(),
        results[1][0]["classes"][name]["dice"].get<double>(), 0.01)
        << name;
}

}  // namespace patchcl::test
