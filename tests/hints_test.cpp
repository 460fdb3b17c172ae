// What a run says at its start of data that can be read, but perhaps not as they were meant.
#include <gtest/gtest.h>

#include "data/layouts/check.h"
#include "data/stream/dataset.h"
#include "tests/command_line.h"
#include "tests/small_data.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

// Pictures of these names with masks that hold `values` in turn.
void put_set(
    const std::string& dir, const std::vector<std::string>& names, const std::vector<uint8_t>& values) {
  for (const char* sub : {"/images", "/masks"}) std::filesystem::create_directories(dir + sub);
  for (size_t i = 0; i < names.size(); ++i) {
    std::vector<uint8_t> grey, mask(16 * 16);
    for (int k = 0; k < 16 * 16; ++k) grey.push_back(uint8_t(k));
    mask[17] = values[i % values.size()];
    write_png(dir + "/images/" + names[i] + ".png", grey.data(), 16, 16, 1);
    write_png(dir + "/masks/" + names[i] + ".png", mask.data(), 16, 16, 1);
  }
}

TEST(Hints, AClassThatNoLabelledImageShowsIsNamed) {
  const TemporaryFolder folder;
  put_set(folder.path(), {"a", "b", "c", "d"}, {1, 2});
  const auto said = [&](const DatasetOptions& options) {
    return Dataset::open(folder.path(), options).describe();
  };
  const std::string hint = "no labelled image shows 2 class 2, which cannot be learnt";
  // One label is read, and the held-out image is of class 2.
  EXPECT_TRUE(contains(said({.labeled = 1, .validation = 1}), hint)) << said({.labeled = 1, .validation = 1});
  EXPECT_FALSE(contains(said({.labeled = 2, .validation = 1}), "no labelled image shows"));
  EXPECT_FALSE(
      contains(said({.labeled = 2, .validation = 1, .border = 1}), "no labelled image shows 2 class 2"));
}

std::string notes_of(const std::string& dir, const std::string& group = "") {
  std::string all;
  for (const std::string& note : check_data(dir, {.group = group}).notes) all += note + "\n";
  return all;
}

TEST(Hints, NamesOfFewBeginningsMayBePatients) {
  const TemporaryFolder patients, cases, kinds;
  put_set(patients.path(), {"P00_000", "P00_001", "P01_000", "P01_001", "P01_002"}, {1});
  put_set(cases.path(), {"case_000", "case_001", "case_002", "case_003"}, {1});
  put_set(kinds.path(), {"lung_000", "lung_001", "heart_000", "heart_001"}, {1});
  const std::string hint = "have 2 beginnings (P00 ... P01): where these are the patients, say --group '";
  const std::string notes = notes_of(patients.path());
  ASSERT_TRUE(contains(notes, hint)) << notes;
  const size_t begin = notes.find(hint) + hint.size();
  const std::string group = notes.substr(begin, notes.find('\'', begin) - begin);
  EXPECT_EQ(check_data(patients.path(), {.group = group}).train.groups, 2) << group;
  for (const std::string& said :
      {notes_of(patients.path(), group), notes_of(cases.path()), notes_of(kinds.path())})
    EXPECT_FALSE(contains(said, "beginnings")) << said;
}

}  // namespace
