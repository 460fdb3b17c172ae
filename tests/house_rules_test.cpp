// tests/house_rules.sh accepts this tree and refuses small trees that break each rule.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace {
namespace fs = std::filesystem;

class HouseRules : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("house_rules_" + std::to_string(getpid()));
    put("tensor/tensor.h", "");
    put("autograd/ops/exp.h",
        "#include \"tensor/tensor.h\"\nstruct Exp { static constexpr const char* name = \"exp\"; };\n  "
        "OP_CPU\n");
    put("autograd/ops/exp.spec.cpp", "AddSpec spec{pointwise(Exp{})};\n");
    put("losses/dice.h", "  const char* name() const override { return \"dice\"; }\n  OP_CPU\n");
    put("losses/dice.spec.cpp", "AddSpec spec{{\"dice\", {}}};\n");
  }
  void TearDown() override { fs::remove_all(root_); }
  void put(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  bool kept(const std::string& root) const {
    return std::system(("tests/house_rules.sh " + root + " 2> /dev/null").c_str()) == 0;
  }
  bool kept() const { return kept(root_.string()); }
  fs::path root_;
};
}  // namespace

TEST_F(HouseRules, ThisTreeKeepsThem) { EXPECT_TRUE(kept(".")); }

TEST_F(HouseRules, ASmallTreeKeepsThem) { EXPECT_TRUE(kept()); }

TEST_F(HouseRules, AnUpwardIncludeBreaksThem) {
  put("tensor/tensor.h", "#include \"autograd/op.h\"\n");
  EXPECT_FALSE(kept());
}

TEST_F(HouseRules, DataMayNotKnowAutograd) {
  put("data/reader.cpp", "#include \"autograd/tape.h\"\n");
  EXPECT_FALSE(kept());
}

TEST_F(HouseRules, AnOpWithoutSpecBreaksThem) {
  fs::remove(root_ / "losses/dice.spec.cpp");
  EXPECT_FALSE(kept());
}

TEST_F(HouseRules, ASpecThatNamesAnotherOpBreaksThem) {
  put("losses/dice.spec.cpp", "AddSpec spec{{\"cross_entropy\", {}}};\n");
  EXPECT_FALSE(kept());
}

TEST_F(HouseRules, AFunctorWithoutSpecBreaksThem) {
  put("autograd/ops/exp.spec.cpp", "AddSpec spec{pointwise(Expm1{})};\n");
  EXPECT_FALSE(kept());
}

// Split where this file itself would cite a section.
TEST_F(HouseRules, ACitedSectionIsInThePage) {
  put("docs/methods.md",
      "# Methods\n## 4 Protocol\n### 4.2 Views\n### 4.5 Metrics\nnot a heading: 4.3 or 7.1\n");
  const std::string cite = "// as METHODS" + std::string(" ");
  put("data/view.h", cite + "4.2, 4.5: 3.5 times\n" + cite + "4 and\n// 4.5\n" + cite + "4.5.\n");
  EXPECT_TRUE(kept());
  for (const char* wrong :
      {"4.3", "4.2, 4.3", "4.2 and 7.1", "4.2, 4.5 and\n  // 4.25", "(4.2)\n// METHODS\n// 5"}) {
    put("losses/late.cu", cite + wrong + "\n");
    EXPECT_FALSE(kept()) << wrong;
  }
}

TEST_F(HouseRules, AnOpHiddenElsewhereBreaksThem) {
  put("layers/secret.cpp", "  OP_CPU\n");
  EXPECT_FALSE(kept());
}
