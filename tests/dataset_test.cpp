// Which cases a data set trains on, in which order, and which it holds out: what a published split depends
// on.
#include "data/stream/sampler.h"
#include "data/stream/dataset.h"

#include <gtest/gtest.h>

#include "tests/command_line.h"
#include "tests/small_data.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

using Ids = std::vector<std::string>;

Ids ids_of(const Dataset& d) {
  Ids ids;
  for (int64_t i = 0; i < d.items(); ++i) ids.push_back(d.item(i).id);
  return ids;
}
Ids validation_ids_of(const Dataset& d) {
  Ids ids;
  for (int64_t i = 0; i < d.validation_cases(); ++i) ids.push_back(d.validation(i).id);
  return ids;
}

}  // namespace

TEST(Dataset, TheBudgetIsTheBeginningOfTheListInItsOrder) {
  TemporaryFolder folder;
  write_tiles(folder.path());
  write_file(folder / "train.list", "tile_3\r\n\n  tile_0 \ntile_2");
  write_file(folder / "val.list", "tile_4\ntile_1\n");
  const Dataset all = Dataset::open(folder.path(), {.labeled = 2});
  EXPECT_EQ(ids_of(all), (Ids{"tile_3", "tile_0", "tile_2"}));
  EXPECT_EQ(all.labeled_items(), 2);
  EXPECT_EQ(validation_ids_of(all), (Ids{"tile_4", "tile_1"}));
  EXPECT_EQ(validation_ids_of(Dataset::open(folder.path(), {.validation = 1})), (Ids{"tile_4"}));
}

TEST(Dataset, TheOneFoldOfAFileMayBeNamed) {
  TemporaryFolder folder;
  write_tiles(folder.path());
  const auto refused = [&] {
    try {
      Dataset::open(folder.path(), {.fold = "1/1"});
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::usage);
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_TRUE(contains(refused(), "--fold 1/1 is for a splits_final.json of one fold")) << refused();
  write_file(folder / "splits_final.json", R"([{"train":["tile_3","tile_0"],"val":["tile_1"]}])");
  const Dataset one = Dataset::open(folder.path(), {.fold = "1/1"});
  EXPECT_EQ(ids_of(one), (Ids{"tile_3", "tile_0"}));
  EXPECT_EQ(validation_ids_of(one), (Ids{"tile_1"}));
  EXPECT_TRUE(contains(one.describe(), "fold 1 of 1 of splits_final.json"));
}

TEST(Dataset, WithoutAListTheLastCasesAreHeldOut) {
  TemporaryFolder folder;
  write_tiles(folder.path());
  const Dataset two = Dataset::open(folder.path(), {.validation = 2});
  EXPECT_EQ(ids_of(two), (Ids{"tile_0", "tile_1", "tile_2"}));
  EXPECT_EQ(validation_ids_of(two), (Ids{"tile_3", "tile_4"}));
  EXPECT_EQ(validation_ids_of(Dataset::open(folder.path())), (Ids{"tile_4"})) << "one in five";
}

// Two volumes of each patient, as ACDC has them.
TEST(Dataset, OfAValidationListTheFirstPatientsStayWhole) {
  TemporaryFolder folder;
  write_tiles(folder.path());
  const Ids names{"p_frame01", "p_frame02", "q_frame01", "q_frame02"};
  for (size_t i = 0; i < names.size(); ++i)
    for (const char* sub : {"images/", "masks/"})
      std::filesystem::rename(
          folder / sub + "tile_" + std::to_string(i + 1) + ".png", folder / sub + names[i] + ".png");
  write_file(folder / "train.list", "tile_0\n");
  write_file(folder / "val.list", "p_frame01\nq_frame01\np_frame02\nq_frame02\n");
  EXPECT_EQ(
      validation_ids_of(Dataset::open(folder.path(), {.validation = 1})), (Ids{"p_frame01", "p_frame02"}));
  EXPECT_EQ(validation_ids_of(Dataset::open(folder.path())).size(), 4u);
  try {
    Dataset::open(folder.path(), {.validation = 3});
    FAIL();
  } catch (const Error& e) {
    EXPECT_TRUE(contains(e.what(), "--val 3 of 2 validation cases")) << e.what();
  }
}

// What counts as one case: slices of a patient never lie on both sides of the budget.
TEST(Dataset, APatientIsAllSlicesAndFramesOfTheName) {
  EXPECT_EQ(patient_of("patient099_frame01_slice_15"), "patient099");
  EXPECT_EQ(patient_of("patient099_frame12"), "patient099");
  EXPECT_EQ(patient_of("P07_slice_3"), "P07");
  EXPECT_EQ(patient_of("hippocampus_001"), "hippocampus_001");
  EXPECT_EQ(patient_of("_slice_3"), "_slice_3") << "a name is never empty";
}

namespace {

TEST(Dataset, BudgetsThatMakeNoSenseAreRefused) {
  const std::string data = "phantom:cases=3,val=1,size=32,slices=2";
  struct Case {
    const char *option, *value;
    int code;
  };
  for (const Case& c : {Case{"--labeled", "0", 3}, Case{"--labeled", "4", 2}, Case{"--val", "5", 2}}) {
    const Outcome o = run_patchcl("train --data " + data + " --size 32 --batch 2 --iters 1 " + c.option +
                                  " " + c.value + " --out /nonexistent/run");
    EXPECT_EQ(o.code, c.code) << o.output;
    EXPECT_TRUE(contains(o.output, std::string(c.option) + " ")) << o.output;
  }
  const Outcome missing = run_patchcl("train --data /nonexistent/folder --iters 1");
  EXPECT_EQ(missing.code, 3);
  EXPECT_TRUE(contains(missing.output, "/nonexistent/folder: no such folder")) << missing.output;
}

// --- augmentation
// ------------------------------------------------------------------------------------------------------

TEST(Sampler, TwoStreamsVisitEveryLabelledItemOncePerEpoch) {
  const Sampler sampler(5, 9, 20, 3, 2);
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::vector<int64_t> seen;
    for (int i = 0; i < 3; ++i) {
      const std::vector<int64_t> batch = sampler.batch(epoch * 3 + i);
      ASSERT_EQ(batch.size(), 5u);
      seen.insert(seen.end(), batch.begin(), batch.begin() + 3);
      EXPECT_TRUE(std::all_of(batch.begin() + 3, batch.end(), [](int64_t k) { return k >= 9 && k < 29; }));
    }
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8}));
  }
}

}  // namespace
