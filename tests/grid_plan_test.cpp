// What a plan, or an option of the grid, may not say.
#include <gtest/gtest.h>

#include <filesystem>

#include "tensor/file.h"
#include "tensor/text.h"
#include "tests/command_line.h"
#include "train/commands/grid.h"
#include "train/commands/grid_record.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

std::string refusal(const std::string& plan) {
  try {
    parse_plan(plan, "bad.plan");
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::usage);
    return e.what();
  }
  return "";
}

// The grid says these of every run, behind whatever the plan says.
TEST(GridPlan, WhatTheGridSaysIsRefusedByItsLine) {
  const std::string head = "labeled 2\nseeds 1\n";
  for (const auto& [line, by] :
      {std::pair("train --labeled 4", "the line 'labeled'"), {"variant a --seed=7", "the line 'seeds'"},
          {"variant a --lr 0.1 --out there", "--out"}, {"eval --weights w", "the line 'weights'"},
          {"eval --json s.json", "the grid, which keeps the scores"}}) {
    const std::string said = refusal(head + line + "\nvariant b\n");
    EXPECT_TRUE(contains(said, "bad.plan:3: --")) << line << "\n" << said;
    EXPECT_TRUE(contains(said, by)) << line << "\n" << said;
  }
  const TemporaryFolder folder;
  write_text(folder / "p.plan", head + "variant a\n");
  const Outcome o =
      run_patchcl("grid " + folder / "p.plan" + " --more '--labeled 3' --out " + folder / "runs");
  EXPECT_EQ(o.code, int(ExitCode::usage)) << o.output;
  EXPECT_TRUE(contains(o.output, "--more: --labeled has no effect")) << o.output;
  EXPECT_FALSE(std::filesystem::exists(folder / "runs"));
}

TEST(GridPlan, AVariantThatIsThereTwiceIsSaid) {
  const std::string said = refusal("labeled 2\nseeds 1\nvariant a\nvariant b\nvariant a --lr 1\n");
  EXPECT_TRUE(contains(said, "bad.plan:5: there is a variant 'a' already, at bad.plan:3")) << said;
  EXPECT_FALSE(contains(said, "did you mean")) << said;
}

// A seed that counted twice would halve the deviation of a difference.
TEST(GridPlan, NumbersOfSeveralLinesAddUpAndNoneIsThereTwice) {
  const GridPlan plan = parse_plan("labeled 2\nlabeled 3\nseeds 1 4\nseeds 2\nvariant a\n", "p.plan");
  EXPECT_EQ(plan.labeled, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(plan.seeds, (std::vector<int64_t>{1, 4, 2}));
  for (const char* line : {"seeds 1", "seeds 5 5", "labeled 2"}) {
    const std::string said = refusal(std::string("labeled 2\nseeds 1\n") + line + "\nvariant a\n");
    EXPECT_TRUE(contains(said, "bad.plan:3: ")) << said;
    EXPECT_TRUE(contains(said, "is there already; a run counts once")) << said;
  }
}

TEST(GridPlan, WordsAreThoseOfAShell) {
  const auto are = [](const std::string& text, const std::vector<std::string>& wanted) {
    EXPECT_EQ(words(text, "here"), wanted) << text;
  };
  are("  a \t b#c d", {"a", "b"});
  are("--data '/my data/#1' x\"y z\"''", {"--data", "/my data/#1", "xy z"});
  are("--group ^(case\\d+) '' a\\ b\\'", {"--group", "^(case\\d+)", "", "a b'"});
  EXPECT_THROW(words("a 'b", "here"), Error);
  for (const char* word : {"it's", "a b", "#", "\\d\"", "", "$x"}) are(in_shell(word), {std::string(word)});
}

TEST(GridPlan, PathsWithBlanksStandInQuotes) {
  const TemporaryFolder folder;
  const std::string plan = folder / "p.plan", runs = folder / "grid runs", data = folder / "my data";
  ASSERT_EQ(
      run_patchcl("data convert phantom:cases=5,val=1,size=16,slices=1 '" + data + "' --as png").code, 0);
  write_text(plan, "labeled -1\nseeds 1\ntrain --data '" + data +
                       "' --size 16 --widths 2,4 --dropout 0,0 --batch 2 " +
                       "--iters 1 --device cpu\neval --data \"" + data + "\"\nvariant a\n");
  const std::string command = "grid " + plan + " --more \"--group '^(.+)'\" --out '" + runs + "'";
  const Outcome o = run_patchcl(command);
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_TRUE(contains(o.output, "Dice %, all labelled")) << o.output;
  EXPECT_FALSE(contains(o.output, "-1 labelled")) << o.output;
  const Outcome again = run_patchcl(command);
  EXPECT_EQ(again.code, 0) << "the options of then are read as those of now: " << again.output;
}

TEST(GridPlan, AMistakeOfALineTrainIsNamedByItsLine) {
  const TemporaryFolder folder;
  const std::string plan = folder / "p.plan", head = "labeled 2\nseeds 1\ntrain --iters 1\n";
  write_text(plan, head + "train --data my data\nvariant a --method patchcl\n");
  const Outcome o = run_patchcl("grid " + plan + " --out " + folder / "runs");
  EXPECT_EQ(o.code, 2) << o.output;
  EXPECT_TRUE(contains(o.output, plan + ":4, line 'train': ")) << o.output;
}

TEST(GridPlan, ObjectsHaveNoTable) {
  const TemporaryFolder folder;
  write_text(folder / "p.plan", "labeled 2\nseeds 1\neval --data phantom --objects\nvariant a\n");
  const Outcome o = run_patchcl("grid " + folder / "p.plan" + " --out " + folder / "runs");
  EXPECT_EQ(o.code, int(ExitCode::usage)) << o.output;
  EXPECT_TRUE(contains(o.output, "line 'eval': --objects scores no classes")) << o.output;
}

// The run itself tells moved data from others; scores do not.
TEST(GridPlan, DataMayMoveUntilARunIsScored) {
  const TemporaryFolder folder;
  const GridPlan plan = parse_plan("labeled 2\nseeds 1\nvariant a\n", "p.plan");
  const GridCell cell{&plan.variants[0], 2, 1, folder.path()};
  const auto on = [&](const char* data) { return cell_record(plan, {"--iters", "10", "--data", data}); };
  record_cell(cell, on("here"));
  write_text(folder / "last.safetensors", "");
  EXPECT_NO_THROW(refuse_other_plan(cell, on("there"), /*scored=*/false));
  EXPECT_THROW(refuse_other_plan(cell, on("there"), /*scored=*/true), Error);
}

TEST(GridPlan, TablesOfNoRunAreAMistake) {
  const TemporaryFolder folder;
  write_text(folder / "p.plan", "labeled 2\nseeds 1\nvariant a\n");
  const std::string command = "grid " + folder / "p.plan" + " --tables-only --out " + folder / "typo";
  const Outcome o = run_patchcl(command);
  EXPECT_EQ(o.code, int(ExitCode::usage)) << o.output;
  EXPECT_TRUE(contains(o.output, "typo holds no runs of ")) << o.output;
  EXPECT_FALSE(std::filesystem::exists(folder / "typo"));
  // A run that trains at this moment is one.
  std::filesystem::create_directories(folder / "typo/a/labeled-2/seed-1");
  const Outcome begun = run_patchcl(command);
  EXPECT_EQ(begun.code, 0) << begun.output;
  EXPECT_TRUE(contains(begun.output, "0 of 1 runs are there")) << begun.output;
}

}  // namespace
