// Self-training that collapses (METHODS 1.12): a teacher whose batch norms take running statistics is wrong
// about images while its weights move fast, and the student learns its mistakes. With the statistics of the
// images themselves the same run gains.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tensor/file.h"
#include "tests/command_line.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

// Mean validation Dice at the end of the labelled warm-up and of the run.
struct Course {
  double learned = 0, in_the_end = 0;
};

Course course_of(const std::string& norm, int seed) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const Outcome o = run_patchcl(
      "train --method mean-teacher --copy-paste true --warm-up 0.4 --lr 0.03 --iters 250 --val-every 25 "
      "--data phantom:cases=8,val=3,size=48,slices=4 --labeled 2 --size 48 --batch 8 --widths 8 16 32 "
      "--dropout 0.05 0.1 0.2 --threads 1 --seed " +
      std::to_string(seed) + " --teacher-norm " + norm + " --out " + run);
  EXPECT_EQ(o.code, 0) << o.output;
  Course course;
  std::istringstream rows(read_text(run + "/metrics.jsonl"));
  for (std::string line; std::getline(rows, line);) {
    const auto row = nlohmann::json::parse(line);
    if (!row.contains("validation")) continue;
    course.in_the_end = row["validation"]["mean"]["dice"];
    if (row["iteration"] == 100) course.learned = course.in_the_end;
  }
  return course;
}

Course two_seeds(const std::string& norm) {
  const Course a = course_of(norm, 1), b = course_of(norm, 8);
  return {a.learned + b.learned, a.in_the_end + b.in_the_end};
}

}  // namespace

TEST(SelfTraining, CollapsesWithTheTeachersRunningStatisticsAndGainsWithTheBatchs) {
  const Course running = two_seeds("running"), batch = two_seeds("batch");
  EXPECT_EQ(running.learned, batch.learned) << "the warm-up has no teacher";
  EXPECT_GT(running.learned, 0.3);
  EXPECT_LT(running.in_the_end, 0.6 * running.learned);
  EXPECT_GT(batch.in_the_end, batch.learned);
}
