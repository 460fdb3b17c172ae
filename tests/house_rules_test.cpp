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

TEST_F(HouseRules, LayoutsMayKnowFormatsAndNotTheStream) {
  put("data/layouts/check.cpp",
      "#include \"data/formats/readers.h\"\n#include \"data/grid.h\"\n#include \"tensor/error.h\"\n");
  EXPECT_TRUE(kept());
  put("data/layouts/check.cpp", "#include \"data/stream/dataset.h\"\n");
  EXPECT_FALSE(kept());
  fs::remove(root_ / "data/layouts/check.cpp");
  put("data/formats/readers.h", "#include \"data/layouts/layout.h\"\n");
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

TEST_F(HouseRules, ANestedConditionalBreaksThem) {
  for (const char* nested : {"a ? b : c ? d : e", "a ? b ? c : d : e", "a ? f(b ? c : d) : e",
           "a\n  ? b\n  : (c\n  ? d : e)", "f(a ? b : c) ? d : e", "a ? \"?\" : b == '?' ? c : d"}) {
    put("data/nested.cpp", std::string("int f(int a) {\n  return ") + nested + ";\n}\n");
    EXPECT_FALSE(kept()) << nested;
  }
}

TEST_F(HouseRules, ConditionalsSideBySideKeepThem) {
  for (const char* flat : {"f(a ? b : c, d ? e : f)", "(a ? b : c) + (d ? e : f)", "a ? b : c /* ? */",
           "std::string(\"?\") + (a ? \"? a\" : R\"(a ? b)\") + '?'"}) {
    put("data/flat.cpp", std::string("int f(int a) {\n  if (a ? b : c) return d ? e : f;\n  return ") + flat +
                             ";  // a ? b : c ? d : e\n}\n");
    EXPECT_TRUE(kept()) << flat;
  }
}

TEST_F(HouseRules, ATypeDeclaredTwiceBreaksThem) {
  put("data/first.h", "namespace patchcl {\nstruct Plan;\nstruct Plan {\n  struct Impl {};\n};\n}\n");
  put("data/other.h", "namespace patchcl {\nclass Other final : public Op {\n  struct Impl {};\n};\n}\n");
  EXPECT_TRUE(kept());
  for (const char* second :
      {"struct Plan {};", "enum class Plan { a, b };", "namespace {\nclass Plan : Op {};\n}",
          "template <class T>\nstruct Plan {\n  T t;\n};", "struct Holder {\n  struct Plan {};\n};"}) {
    put("data/second.cpp", std::string("namespace patchcl {\n") + second + "\n}\n");
    EXPECT_FALSE(kept()) << second;
  }
}

TEST_F(HouseRules, LongFunctionsAndFilesBreakThem) {
  const auto lines = [](int n) {
    std::string text;
    for (int i = 0; i < n; ++i) text += "  f(1);\n";
    return text;
  };
  put("data/long.cpp", "void f(int a,\n    int b) {\n" + lines(57) + "}\n");
  EXPECT_TRUE(kept());
  put("data/long.cpp", "void f(int a,\n    int b) {\n" + lines(58) + "}\n");
  EXPECT_FALSE(kept());
  put("data/long.cpp", "struct S {\n  explicit S(int a) : a_(a), b_{a} {\n" + lines(60) + "  }\n};\n");
  EXPECT_FALSE(kept());
  put("data/long.cpp", "// " + std::string(107, 'x') + "\n");
  EXPECT_TRUE(kept());
  put("data/long.cpp", "// " + std::string(108, 'x') + "\n");
  EXPECT_FALSE(kept());
  put("data/long.cpp", std::string(350, '\n'));
  put("data/long.simd.cpp", std::string(400, '\n'));
  EXPECT_TRUE(kept());
  put("data/long.cpp", std::string(351, '\n'));
  EXPECT_FALSE(kept());
}

// tests/mutate.sh plants mistakes; one whose line has changed must follow it, or nobody misses it.
TEST(Mutations, EachStillHasItsLine) { EXPECT_EQ(std::system("tests/mutate.sh --check"), 0); }
