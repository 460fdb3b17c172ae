// Plans of runs and their tables.
#include <gtest/gtest.h>

#include <cmath>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tensor/error.h"
#include "tensor/file.h"
#include "tests/command_line.h"
#include "train/commands/grid_page.h"
#include "train/commands/grid_record.h"
#include "train/setup/config.h"

using namespace patchcl;

namespace {
const char* kPlan =
    "# a comment\n"
    "labeled 3 7\n"
    "seeds 1 2\n"
    "train --size 96   # of every run\n"
    "train --iters 10\n"
    "eval --preset ssl4mis\n"
    "\n"
    "variant supervised --method supervised\n"
    "variant patchcl+cp --method patchcl --copy-paste true\n";
}

TEST(Grid, ReadsAPlan) {
  const GridPlan p = parse_plan(kPlan, "test.plan");
  EXPECT_EQ(p.labeled, (std::vector<int64_t>{3, 7}));
  EXPECT_EQ(p.seeds, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(p.train, (std::vector<std::string>{"--size", "96", "--iters", "10"}));
  ASSERT_EQ(p.variants.size(), 2u);
  EXPECT_EQ(p.variants[1].name, "patchcl+cp");
  EXPECT_EQ(p.variants[1].options.size(), 4u);
}

TEST(Grid, NamesTheLineThatIsWrong) {
  for (const char* bad : {"labeled 3\nseeds 1\nvariant a\nvariant a\n", "labeled 3\nseeds x\n", "labels 3\n",
           "variant\n", "columns\n", "columns dice iou\n", ""}) {
    try {
      parse_plan(bad, "bad.plan");
      ADD_FAILURE() << bad;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::usage);
      EXPECT_NE(std::string(e.what()).find("bad.plan"), std::string::npos) << e.what();
    }
  }
}

TEST(Grid, TablesHoldMeanAndDeviation) {
  EXPECT_EQ(mean_and_deviation({0.5, 0.7}, 100), "60.00 ± 14.14");
  EXPECT_EQ(mean_and_deviation({2.5}, 1), "2.50");
  EXPECT_EQ(mean_and_deviation({}, 1), "-");
  const GridPlan p = parse_plan(kPlan, "test.plan");
  GridScores s;
  s[{"supervised", 3}] = {{0.5, 10, {{"RV", 0.4}, {"LV", 0.6}}, 1, 0.02},
      {0.7, std::nan(""), {{"RV", 0.6}, {"LV", 0.8}}, 2, 0.03}};
  EXPECT_EQ(in_markdown(grid_table(p, s)),
      "| method | Dice %, 3 labelled | HD95 | Dice %, 7 labelled | HD95 |\n"
      "|---|---:|---:|---:|---:|\n"
      "| supervised | 60.00 ± 14.14 | 10.00 | - | - |\n"
      "| patchcl+cp | - | - | - | - |\n");
  EXPECT_EQ(in_markdown(grid_cost_table(p, s)),
      "| CPU ms a step | 3 labelled | 7 labelled |\n"
      "|---|---:|---:|\n"
      "| supervised | 25.00 ± 7.07 | - |\n"
      "| patchcl+cp | - | - |\n");
  EXPECT_EQ(in_markdown(grid_class_table(p, s, 3)),
      "| Dice %, 3 labelled | LV | RV |\n"
      "|---|---:|---:|\n"
      "| supervised | 70.00 ± 14.14 | 50.00 ± 14.14 |\n"
      "| patchcl+cp | - | - |\n");
}

TEST(Grid, APlanChoosesItsColumns) {
  const GridPlan p = parse_plan(std::string(kPlan) + "columns hd95 pooled accuracy jaccard asd dice\n", "p");
  GridScores s;
  s[{"supervised", 7}] = {{.dice = 0.5,
                              .hd95 = 10,
                              .dice_of_class = {},
                              .seed = 1,
                              .jaccard = 0.4,
                              .asd = 2,
                              .accuracy = 0.9,
                              .pooled = 0.6},
      {.dice = 0.5, .hd95 = std::nan(""), .dice_of_class = {}, .seed = 2, .jaccard = 0.4}};
  s[{"patchcl+cp", 7}] = {{.dice = 0.7, .hd95 = 7, .dice_of_class = {}, .seed = 1},
      {.dice = 0.7, .hd95 = 7, .dice_of_class = {}, .seed = 2}};
  EXPECT_EQ(in_markdown(grid_table(p, s)),
      "| method | HD95, 3 labelled | pooled Dice % | accuracy % | Jaccard % | ASD | Dice % | HD95, 7 "
      "labelled "
      "| pooled Dice % | accuracy % | Jaccard % | ASD | Dice % |\n"
      "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
      "| supervised | - | - | - | - | - | - | 10.00 | 60.00 | 90.00 "
      "| 40.00 ± 0.00 | 2.00 | 50.00 ± 0.00 |\n"
      "| patchcl+cp | - | - | - | - | - | - | 7.00 ± 0.00 | - | - | - | - | 70.00 ± 0.00 |\n");
  EXPECT_EQ(in_markdown(grid_differences(p, s)),  // of the first column, where both have it
      "| HD95 minus supervised | 3 labelled | t | seeds | 7 labelled | t | seeds |\n"
      "|---|---:|---:|---:|---:|---:|---:|\n"
      "| patchcl+cp | - | - | 0 | -3.00 | - | 1 |\n");
}

TEST(Grid, AnUnknownColumnIsAnsweredWithThoseThereAre) {
  test::TemporaryFolder folder;
  std::ofstream(folder / "bad.plan") << "labeled 2\nseeds 1\n\ncolumns dice iou\nvariant a\n";
  const test::Outcome o = test::run_patchcl("grid " + (folder / "bad.plan"));
  EXPECT_EQ(o.code, 2);
  const std::string said = "bad.plan:4: 'iou' is no column; there are ",
                    columns = "dice, hd95, jaccard, asd, accuracy, pooled";
  EXPECT_NE(o.output.find(said + columns), std::string::npos) << o.output;
}

// What a column shows is what scores.json says; a class that occurs nowhere has no pooled Dice.
TEST(Grid, ColumnsAreTheScoresOfEval) {
  test::TemporaryFolder folder;
  const std::string seeds = folder / "grid/a/labeled-2/seed-";
  for (const char* seed : {"1", "2"}) std::filesystem::create_directories(seeds + seed);
  const std::string mean = R"({"mean_of_classes":{"dice":0.5,"jaccard":0.25,"hd95":null,"asd":3},)"
                           R"("mean_of_cases":{"RV":{"dice":0.75},"LV":{"dice":0.25}})";
  write_text(seeds + "1/scores.json", mean + R"(,"pixel_accuracy":0.875,"pooled":{"RV":{"dice":0.5},)"
                                             R"("Myo":{"dice":null},"LV":{"dice":0.75}}})");
  write_text(seeds + "2/scores.json", mean + "}");  // older than the other scores
  std::ofstream(folder / "p.plan") << "labeled 2\nseeds 1 2 3\ncolumns pooled accuracy jaccard asd hd95\n"
                                      "variant a --method supervised\n";
  const test::Outcome o =
      test::run_patchcl("grid " + (folder / "p.plan") + " --tables-only --out " + (folder / "grid"));
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_EQ(read_text(folder / "grid/table.md")
                .find("| method | pooled Dice %, 2 labelled | accuracy % | Jaccard % | ASD | HD95 |\n"
                      "|---|---:|---:|---:|---:|---:|\n"
                      "| a | 62.50 | 87.50 | 25.00 ± 0.00 | 3.00 ± 0.00 | - |\n"),
      0u)
      << o.output;
  EXPECT_TRUE(test::contains(read_text(folder / "grid/table.md"), "\n2 of 3 runs are there.\n"));
  const auto runs = nlohmann::json::parse(read_text(folder / "grid/runs.json"));
  EXPECT_EQ(runs, nlohmann::json::parse(R"([
    {"variant":"a","labeled":2,"seed":1,"dice":0.5,"hd95":null,"jaccard":0.25,"asd":3.0,"accuracy":0.875,
     "pooled":0.625,"dice_of_class":{"LV":0.25,"RV":0.75}},
    {"variant":"a","labeled":2,"seed":2,"dice":0.5,"hd95":null,"jaccard":0.25,"asd":3.0,"accuracy":null,
     "pooled":null,"dice_of_class":{"LV":0.25,"RV":0.75}}])"));
  const std::string page = read_text(folder / "grid/report.html");
  for (const char* part : {"62.50", "87.50", "2 of 3 are there"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
}

// 2, 3 and 4 points more than the first: mean 3, deviation 1, t = 3 / (1 / sqrt 3).
TEST(Grid, DifferencesArePairedBySeed) {
  const GridPlan p = parse_plan(kPlan, "test.plan");
  GridScores s;
  for (int64_t seed : {1, 2, 3}) {
    s[{"supervised", 3}].push_back({0.1 * double(seed), 0, {}, seed});
    const int64_t other = 4 - seed;  // in another order
    s[{"patchcl+cp", 3}].push_back({0.1 * double(other) + 0.01 * double(other + 1), 0, {}, other});
  }
  s[{"patchcl+cp", 3}].push_back({0.9, 0, {}, 17});  // without a partner
  EXPECT_EQ(in_markdown(grid_differences(p, s)),
      "| Dice % minus supervised | 3 labelled | t | seeds | 7 labelled | t | seeds |\n"
      "|---|---:|---:|---:|---:|---:|---:|\n"
      "| patchcl+cp | 3.00 ± 1.00 | 5.2 | 3 | - | - | 0 |\n");
}

TEST(Grid, ThePageHasTablesCurvesAndWhatIsMissing) {
  const test::TemporaryFolder folder;
  const GridPlan p = parse_plan(kPlan, "test.plan");
  const std::filesystem::path run = folder / "supervised";
  std::filesystem::create_directories(run);
  write_text((run / "metrics.jsonl").string(),
      "{\"iteration\":10,\"validation\":{\"mean\":{\"dice\":0.25}}}\n"
      "{\"iteration\":20,\"validation\":{\"mean\":{\"dice\":0.5}}}\n");
  write_text((run / "run.json").string(), "[{\"steps\":20,\"cpu_seconds\":40}]");
  GridScores s;
  s[{"supervised", 3}] = {{0.5, 10, {{"RV", 0.4}}, 1}};
  write_grid_page(p, s, {{&p.variants[0], 3, 1, run}, {&p.variants[1], 3, 1, folder / "none"}}, folder / "");
  const std::string page = read_text(folder / "report.html");
  for (const char* part : {"50.00", "Differences, paired by seed", "<polyline", "hours of CPU time",
           "1 of 2 are there", "missing"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
}

// A row that a method refuses would be found after hours.
TEST(Grid, EveryPlanOfTheTreeIsUnderstood) {
  int variants = 0;
  for (const auto& file : std::filesystem::directory_iterator("train/experiments")) {
    std::ifstream in(file.path());
    std::stringstream text;
    text << in.rdbuf();
    const GridPlan plan = parse_plan(text.str(), file.path());
    for (const GridVariant& v : plan.variants) {
      std::vector<std::string> words = plan.train;
      words.insert(words.end(), v.options.begin(), v.options.end());
      EXPECT_NO_THROW(check_train_options(words)) << file.path() << " " << v.name;
      ++variants;
    }
  }
  EXPECT_GE(variants, 20);
  EXPECT_THROW(check_train_options({"--method", "ua-mt", "--copy-paste", "true"}), Error);
}

// It would otherwise show after the first training.
TEST(Grid, AMistakeInTheEvalLineIsFoundBeforeAnythingRuns) {
  test::TemporaryFolder folder;
  for (const auto& [mistake, more] :
      {std::pair("--theads 1", ""), {"--size many", ""}, {"--threads 1", " --jobs 2"}}) {
    std::ofstream(folder / "bad.plan")
        << "labeled 2\nseeds 1\ntrain --data phantom --iters 1\neval --data phantom " << mistake
        << "\nvariant supervised --method supervised\n";
    const test::Outcome o =
        test::run_patchcl("grid " + (folder / "bad.plan") + " --out " + (folder / "runs") + more);
    EXPECT_EQ(o.code, 2) << o.output;
    EXPECT_NE(o.output.find("line 'eval'"), std::string::npos) << o.output;
    EXPECT_FALSE(std::filesystem::exists(folder / "runs")) << mistake;
  }
}

// As `train` itself would say it, and where it stands.
TEST(Grid, AMistakeInAVariantIsLocated) {
  const test::TemporaryFolder folder;
  const std::string plan = folder / "bad.plan";
  for (const auto& [mistake, part] :
      {std::pair("--methd patchcl", "'--methd' is not an option here; did you mean '--method'?"),
          {"--size many", "'many' is not a whole number"}, {"--copy-paste true", "--copy-paste"}}) {
    std::ofstream(plan) << "labeled 2\nseeds 1\ntrain --iters 1\neval --data phantom\nvariant a\nvariant b "
                        << mistake << "\n";
    const test::Outcome o = test::run_patchcl("grid " + plan + " --out " + (folder / "runs"));
    EXPECT_EQ(o.code, 2) << o.output;
    EXPECT_TRUE(test::contains(o.output, plan + ":6, variant 'b'")) << o.output;
    EXPECT_TRUE(test::contains(o.output, part)) << o.output;
  }
  std::ofstream(plan) << "labeld 2\n";
  EXPECT_TRUE(test::contains(test::run_patchcl("grid " + plan).output, "did you mean 'labeled'?"));
}

TEST(Grid, HelpShowsAPlanThatIsUnderstood) {
  const test::Outcome o = test::run_patchcl("grid --help");
  const size_t begin = o.output.find("  # behind"), end = o.output.find("A run is scored once");
  ASSERT_TRUE(begin < end && end != std::string::npos) << o.output;
  std::istringstream lines(o.output.substr(begin, end - begin));
  std::string plan;
  // The words behind several spaces explain a line.
  for (std::string line; std::getline(lines, line);) {
    const size_t text = line.find_first_not_of(' ');
    if (text == std::string::npos) continue;
    const size_t note = line.find("    ", text + 12);
    plan += line.substr(text, note == std::string::npos ? note : note - text) + "\n";
  }
  const GridPlan p = parse_plan(plan, "help");
  EXPECT_EQ(p.weights, "last");
  ASSERT_EQ(p.variants.size(), 2u);
  for (const GridVariant& v : p.variants) {
    std::vector<std::string> options = p.train;
    options.insert(options.end(), v.options.begin(), v.options.end());
    EXPECT_NO_THROW(check_train_options(options)) << v.name;
  }
}

namespace {
// What refuse_other_plan() says; empty: nothing.
std::string refusal(const GridCell& cell, const std::string& record, bool scored) {
  try {
    refuse_other_plan(cell, record, scored);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// A plan of short runs.
std::string tiny_plan(const std::string& iters, const std::string& eval, const std::string& variants) {
  const std::string data = "--data phantom:cases=4,val=1,size=32,slices=2 --threads 1 ",
                    network = "--size 16 --batch 2 --widths 2,4 --dropout 0,0.1 --device cpu --iters ";
  return "labeled 2\nseeds 1\ntrain " + data + network + iters + "\neval " + data + eval + "\n" + variants;
}
}  // namespace

TEST(Grid, ACellIsOfThePlanThatMadeIt) {
  const test::TemporaryFolder folder;
  const GridPlan plan = parse_plan(kPlan, "test.plan");
  const GridCell cell{&plan.variants[0], 3, 1, folder.path()};
  const std::string made = cell_record(plan, {"--size", "96", "--iters", "10", "--anomaly"});
  EXPECT_EQ(refusal(cell, made, true), "") << "of before, without a record";
  record_cell(cell, made);
  EXPECT_EQ(refusal(cell, made, true), "");
  const std::string same =
      cell_record(plan, {"--iters=10", "--size", "32", "--threads", "2", "--anomaly", "--size", "96"});
  EXPECT_EQ(refusal(cell, same, true), "") << "in other words";

  const std::string longer = cell_record(plan, {"--size", "96", "--iters", "20", "--anomaly"});
  const std::string said = refusal(cell, longer, true);
  for (const std::string& part :
      {folder.path(), std::string("train --iters 10"), std::string("train --iters 20"), std::string("--out")})
    EXPECT_TRUE(test::contains(said, part)) << said;
  EXPECT_TRUE(test::contains(
      refusal(cell, cell_record(plan, {"--size", "96", "--iters", "10"}), true), "without it"));
  EXPECT_EQ(refusal(cell, longer, false), "") << "nothing has begun";
  write_text(folder / "last.safetensors", "");
  EXPECT_NE(refusal(cell, longer, false), "");

  GridPlan other = plan;
  other.weights = "last";
  const std::string scored_otherwise = cell_record(other, {"--size", "96", "--iters", "10", "--anomaly"});
  EXPECT_TRUE(test::contains(refusal(cell, scored_otherwise, true), "weights best, now weights last"));
  EXPECT_EQ(refusal(cell, scored_otherwise, false), "") << "nothing is scored";
}

TEST(Grid, AChangedPlanDoesNotTakeTheScoresOfBefore) {
  const test::TemporaryFolder folder;
  const std::string plan = folder / "p.plan", command = "grid " + plan + " --out " + (folder / "runs");
  const auto write_plan = [&](const std::string& iters, const std::string& eval) {
    write_text(plan, tiny_plan(iters, eval, "variant a\n"));
  };
  const std::string cell = folder / "runs/a/labeled-2/seed-1";
  write_plan("1", "");
  ASSERT_EQ(test::run_patchcl(command).code, 0);
  const std::string table = read_text(folder / "runs/table.md");
  ASSERT_EQ(test::run_patchcl(command).code, 0);
  for (const std::string more : {"", " --tables-only"}) {
    write_plan("2", "");
    const test::Outcome o = test::run_patchcl(command + more);
    EXPECT_EQ(o.code, 2) << o.output;
    EXPECT_TRUE(test::contains(
        o.output, cell + " was made with other options: then train --iters 1, now train --iters 2"))
        << o.output;
    write_plan("1", "--empty zero");
    EXPECT_TRUE(test::contains(test::run_patchcl(command + more).output, "now eval --empty zero"));
    EXPECT_EQ(read_text(folder / "runs/table.md"), table);
  }
  std::filesystem::remove(cell + "/scores.json");
  EXPECT_EQ(test::run_patchcl(command).code, 0) << "scored anew, as the plan now says";
  write_plan("2", "--empty zero");
  std::filesystem::remove(cell + "/cell.plan");
  EXPECT_EQ(test::run_patchcl(command).code, 0) << "a folder of before";
}

// A grid takes hours; who looks in wants a table of what there is.
TEST(Grid, TablesAreWrittenAfterEachRun) {
  const test::TemporaryFolder folder;
  write_text(folder / "p.plan", tiny_plan("1", "", "variant a\nvariant b\n"));
  std::filesystem::create_directories(folder / "runs");
  write_text(folder / "runs/b", "stops the grid where a folder is wanted");
  const test::Outcome o = test::run_patchcl("grid " + (folder / "p.plan") + " --out " + (folder / "runs"));
  EXPECT_EQ(o.code, 4) << o.output;
  EXPECT_TRUE(test::contains(read_text(folder / "runs/table.md"), "\n1 of 2 runs are there.\n"));
}
