// patchcl score as a user runs it: files and folders, classes and objects, bad input.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/formats/image.h"
#include "data/formats/readers.h"
#include "tests/command_line.h"
#include "tests/json_output.h"
#include "train/evaluate/metrics.h"

using namespace patchcl;
using namespace patchcl::test;
using nlohmann::json;
using patchcl::test::Outcome;

namespace {

// A mask of 2 x 4 x 8 voxels, or one slice of it.
std::vector<uint8_t> striped(int64_t depth, int offset) {
  std::vector<uint8_t> values;
  for (int64_t i = 0; i < depth * 32; ++i) values.push_back(uint8_t((i % 8 + offset) / 3 % 3));
  return values;
}
void save(const std::string& path, int64_t depth, const std::vector<uint8_t>& values) {
  Volume v;
  v.depth = depth;
  v.height = 4;
  v.width = 8;
  write_label(path, values, v);
}

json scored(const std::string& arguments) {
  const Outcome o = run_patchcl("score " + arguments + " --json -");
  EXPECT_EQ(o.code, 0) << o.output;
  return o.code == 0 ? json_in(o) : json{};
}

}  // namespace

TEST(Score, FormatsGiveTheSameNumbers) {
  const TemporaryFolder folder;
  const std::vector<uint8_t> reference = striped(1, 0), prediction = striped(1, 1);
  for (const std::string name : {"r.png", "r.nii.gz", "r.h5"}) save(folder / name, 1, reference);
  for (const std::string name : {"p.png", "p.nii.gz", "p.h5"}) save(folder / name, 1, prediction);
  const CaseScores want = score_case("r", prediction.data(), reference.data(), 3, {1, 4, 8}, {});
  for (const auto& [r, p] : {std::pair{"r.png", "p.png"}, {"r.nii.gz", "p.h5"}, {"r.h5", "p.nii.gz"}}) {
    const json j = scored(folder / r + " " + folder / p);
    for (size_t c = 0; c < 2; ++c) {
      const json& got = j["cases"][0]["classes"]["class " + std::to_string(c + 1)];
      EXPECT_DOUBLE_EQ(got["dice"].get<double>(), want.classes[c].dice) << r;
      EXPECT_DOUBLE_EQ(got["hd95"].get<double>(), want.classes[c].hd95) << r;
      EXPECT_DOUBLE_EQ(j["pooled"]["class " + std::to_string(c + 1)]["sensitivity"].get<double>(),
          want.counts[c].sensitivity());
    }
    EXPECT_DOUBLE_EQ(j["pixel_accuracy"].get<double>(), want.accuracy);
  }
}

TEST(Score, FoldersPairByNameAndOneClassMayHaveAnyNumber) {
  const TemporaryFolder folder;
  for (const std::string name : {"r", "p"}) std::filesystem::create_directory(folder / name);
  std::vector<uint8_t> one = striped(1, 0), as_255 = one;
  for (uint8_t& v : as_255) v = v ? 255 : 0;
  save(folder / "r/a.png", 1, one);
  save(folder / "r/b.png", 1, one);
  save(folder / "p/a.h5", 1, as_255);
  save(folder / "p/b.nii.gz", 1, striped(1, 1));
  save(folder / "p/c.png", 1, one);
  const Outcome o = run_patchcl("score --binary " + folder / "r " + folder / "p --csv " + folder / "s.csv");
  EXPECT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "not scored: 1 mask of ")) << o.output;
  EXPECT_TRUE(contains(o.output, "a                  | 100.00 100.00")) << o.output;
  EXPECT_TRUE(contains(o.output, "mean of 2 cases")) << o.output;
  std::ifstream csv(folder / "s.csv");
  int lines = 0;
  for (std::string line; std::getline(csv, line);) ++lines;
  EXPECT_EQ(lines, 1 + 2 + 1 + 1 + 1) << "names, cases, their mean, the mean, pooled";
}

TEST(Score, CountsObjectsByNumberAndByComponents) {
  const TemporaryFolder folder;
  // Two glands of the reference; the prediction's class joins them, or its border class keeps them apart.
  std::vector<uint16_t> numbers(32);
  std::vector<uint8_t> joined(32), apart(32);
  for (int y = 1; y < 3; ++y)
    for (int x = 1; x < 7; ++x) {
      const size_t i = size_t(y * 8 + x);
      numbers[i] = x < 4 ? 300 : 700;
      joined[i] = 1;
      apart[i] = x == 3 || x == 4 ? 2 : 1;
    }
  write_png(folder / "r.png", numbers.data(), 4, 8, 1);
  save(folder / "joined.png", 1, joined);
  save(folder / "apart.png", 1, apart);
  const auto pooled = [&](const std::string& arguments) {
    return scored(folder / "r.png " + arguments + " --instances")["pooled"];
  };
  const json same = pooled(folder / "r.png");
  EXPECT_EQ(same["f1"], 1);
  EXPECT_EQ(same["dice"], 1);
  EXPECT_EQ(same["hausdorff"], 0);
  const json merged = pooled(folder / "joined.png --components --min-size 1");
  EXPECT_EQ(merged["tp"], 1);
  EXPECT_EQ(merged["fn"], 1);
  EXPECT_EQ(pooled(folder / "joined.png --components --min-size 13")["tp"], 0);
  const json grown = pooled(folder / "apart.png --components --min-size 1 --border-class 2 --border-width 1");
  EXPECT_EQ(grown["f1"], 1);
  EXPECT_EQ(grown["dice"], 1);
}

TEST(Score, BlackAndWhiteIsTheOneClassAndOtherValuesAreThoseOfTheOption) {
  const TemporaryFolder folder;
  const std::vector<uint8_t> classes = striped(1, 0);
  std::vector<uint8_t> one = classes, white = classes, grey = classes, rgb;
  for (size_t i = 0; i < classes.size(); ++i) {
    one[i] = classes[i] > 0;
    white[i] = uint8_t(255 * one[i]);
    grey[i] = uint8_t(classes[i] == 1 ? 128 : 255 * one[i]);
    for (const int c : {1, 2, 3}) rgb.push_back(classes[i] == c ? 255 : 0);
  }
  for (const auto& [name, mask] :
      {std::pair("classes", classes), {"one", one}, {"white", white}, {"grey", grey}})
    save(folder / name + ".png", 1, mask);
  write_png(folder / "rgb.png", rgb.data(), 4, 8, 3);
  const auto expect_same = [&](const std::string& r, const std::string& p, const std::string& options,
                               size_t n) {
    json pooled = scored(folder / r + ".png " + folder / p + ".png" + options)["pooled"];
    EXPECT_EQ(pooled.size(), n) << r << " " << p;
    for (size_t c = 1; c <= n; ++c)
      EXPECT_EQ(pooled["class " + std::to_string(c)]["dice"], 1) << r << " " << p;
  };
  for (const std::string r : {"one", "white"})
    for (const std::string p : {"one", "white"}) expect_same(r, p, "", 1);
  for (const std::string p : {"grey", "classes"}) {
    expect_same("grey", p, " --label-values 0,128,255", 2);
    expect_same("grey", p, " --label-values 0,128,255 --binary", 1);
  }
  for (const std::string p : {"rgb", "classes"})
    expect_same("rgb", p, " --label-colors '0,0,0;255,0,0;0,255,0'", 2);
}

// What 255 means is not for one mask to say.
TEST(Score, AMaskWithoutOneOfThreeValuesIsReadAsTheOthersAre) {
  const TemporaryFolder folder;
  std::vector<uint8_t> three(32), two(32);
  for (size_t i = 0; i < 8; ++i) three[i] = i < 4 ? 128 : 255, two[i] = 255;
  for (const std::string name : {"r", "p"}) {
    std::filesystem::create_directory(folder / name);
    save(folder / name + "/three.png", 1, three);
    save(folder / name + "/two.png", 1, two);
  }
  json pooled = scored(folder / "r " + folder / "p")["pooled"];
  EXPECT_EQ(pooled.size(), 2u);
  EXPECT_EQ(pooled["class 255"]["dice"], 1);
}

TEST(Score, BadInputIsNamed) {
  const TemporaryFolder folder;
  save(folder / "a.png", 1, striped(1, 0));
  save(folder / "volume.h5", 2, striped(2, 0));
  for (const std::string name : {"r", "p", "twice"}) std::filesystem::create_directory(folder / name);
  save(folder / "r/a.png", 1, striped(1, 0));
  save(folder / "twice/a.png", 1, striped(1, 0));
  save(folder / "twice/a.h5", 1, striped(1, 0));
  const auto expect = [&](const std::string& arguments, ExitCode code, const std::string& message) {
    const Outcome o = run_patchcl("score " + arguments);
    EXPECT_EQ(o.code, int(code)) << arguments << "\n" << o.output;
    EXPECT_TRUE(contains(o.output, message)) << arguments << "\n" << o.output;
  };
  const std::string a = folder / "a.png ";
  std::vector<uint8_t> grey(32 * 32), rgb(32 * 3, 255);
  for (size_t i = 0; i < grey.size(); ++i) grey[i] = uint8_t(i);
  write_png(folder / "grey.png", grey.data(), 32, 32, 1);
  rgb[0] = 0;
  write_png(folder / "rgb.png", rgb.data(), 4, 8, 3);
  expect(a + folder / "rgb.png", ExitCode::data, "rgb.png: coloured mask");
  expect(a + a + "--label-values 0,1", ExitCode::data, "2 in a mask is not among the 2 of --label-values");
  expect(a + a + "--label-values 0,1 --instances", ExitCode::usage, "--label-values");
  expect(folder / "grey.png " + folder / "grey.png", ExitCode::data, "grey.png holds 256 different numbers");
  expect(a, ExitCode::usage, "prediction");
  expect(a + folder / "none.png", ExitCode::data, "none.png");
  expect(a + folder / "r", ExitCode::usage, "two folders");
  expect(folder / "r " + folder / "p", ExitCode::data, "has no mask 'a'");
  expect(folder / "r " + folder / "twice", ExitCode::data, "leave one of them");
  expect(a + folder / "volume.h5", ExitCode::data, "of one size");
  expect(a + a + "--components", ExitCode::usage, "--instances");
  expect(a + a + "--min-size 3", ExitCode::usage, "--components");
  expect(a + a + "--json " + folder / "a.png/s.json", ExitCode::io, "cannot create the folder");
}
