#include "train/evaluate/progress.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "data/formats/image.h"
#include "tests/command_line.h"
#include "tests/terminal.h"

namespace patchcl {
namespace {

TEST(Progress, LinesKeepWholePartsThatFit) {
  const std::string line = "ETA 12 s  step 3/9  loss 0.5  ce 0.4";
  EXPECT_EQ(fitted(line, 80), line);
  EXPECT_EQ(fitted(line, 30), "ETA 12 s  step 3/9  loss 0.5");
  EXPECT_EQ(fitted(line, 19), "ETA 12 s  step 3/9");
  EXPECT_EQ(fitted(line, 5), "ETA 1");
}

TEST(Progress, DurationsAreForPeople) {
  EXPECT_EQ(duration(12.4), "12 s");
  EXPECT_EQ(duration(200), "3 min 20 s");
  EXPECT_EQ(duration(3725), "1 h 02 min");
}

// A run whose last steps are dear: ten of 4 images, then ten of 2 that cost five times as much a step.
TEST(Progress, KnowsThatLaterStepsCostMore) {
  const auto work = [](int64_t n) {
    const double dear = double(std::max<int64_t>(n - 10, 0)), cheap = double(n) - dear;
    return Work{cheap + 5 * dear, 4 * cheap + 2 * dear};
  };
  const ProgressLine line(20, {.work = work}), resumed(20, {.first = 5, .work = work});
  EXPECT_EQ(line.text(5, 10, "loss 1"), "ETA 1 min 50 s  step 5/20  2.0 images/s  loss 1");
  EXPECT_EQ(line.text(12, 40, ""), "ETA 1 min 20 s  step 12/20  1.1 images/s");
  EXPECT_EQ(resumed.text(12, 30, ""), "ETA 1 min 20 s  step 12/20  0.8 images/s");
  EXPECT_EQ(line.text(0, 0, ""), "ETA unknown  step 0/20  0.0 images/s");
  EXPECT_EQ(line.text(20, 75, ""), "done in 1 min 15 s  step 20/20  0.8 images/s");
  EXPECT_EQ(ProgressLine(4, {.item = "case"}).text(1, 2, ""), "ETA 6 s  case 1/4");
}

using test::contains;
using test::on_terminal;
using test::TemporaryFolder;

TEST(Progress, FitsItsTerminalAndSaysFirstWhenItWillBeDone) {
  TemporaryFolder folder;
  const std::string printed = on_terminal(44,
      "exec build/patchcl train --data phantom:cases=6,size=32 --size 32 "
      "--widths 4,8 --dropout 0,0 --batch 4 --iters 400 --val-every 0 "
      "--log-every 1 --labeled 2 --method mean-teacher --out " +
          (folder / "run"));
  int lines = 0;
  const std::string rewrite = "\r\x1b[K";
  for (size_t at = printed.find(rewrite); at != std::string::npos; at = printed.find(rewrite, at + 1)) {
    const size_t begin = at + rewrite.size(), end = printed.find_first_of("\r\n", begin);
    const std::string line = printed.substr(begin, end - begin);
    if (!line.starts_with("ETA") && !line.starts_with("done")) continue;
    EXPECT_LT(line.size(), 44u) << line;
    EXPECT_NE(line.find("step "), std::string::npos) << line;
    ++lines;
  }
  EXPECT_GT(lines, 0) << printed;
}

TEST(Progress, TheLastLineOfARunIsWhole) {
  const TemporaryFolder folder;
  const std::string train =
      "build/patchcl train --data phantom:cases=4,val=1,size=32,slices=2 --size 16 --batch 2 "
      "--widths 2,4 --dropout 0,0 --threads 1 --iters 2 --val-every 0 --method mean-teacher --out ";
  const std::string printed = on_terminal(44, "exec " + train + folder / "run");
  const std::string last = printed.substr(std::min(printed.rfind("done in "), printed.size()));
  for (const char* part :
      {"step 2/2", "loss ", "  ce ", "  dice_loss ", "consistency ", "consistency_weight "})
    EXPECT_TRUE(contains(last, part)) << part << "\n" << printed;
  EXPECT_FALSE(contains(on_terminal(80, "TERM=dumb " + train + folder / "dumb"), "\x1b["));
}

// A short command shows its last line, which is wiped away before results follow.
TEST(Progress, IsOfEveryPartOfACommand) {
  const TemporaryFolder folder;
  const std::vector<uint8_t> mask{0, 1, 1, 0, 0, 0, 1, 1, 2, 2, 0, 0};
  write_png(folder / "a.png", mask.data(), 3, 4, 1);
  const std::string score = "exec build/patchcl score " + folder / "a.png " + folder / "a.png",
                    wiped = "\r\x1b[K";
  const std::string classes = on_terminal(80, score);
  EXPECT_TRUE(contains(classes, "reading 1/1" + wiped)) << classes;
  EXPECT_TRUE(contains(classes, "case 1/1" + wiped)) << classes;
  const std::string objects = on_terminal(80, score + " --instances");
  EXPECT_TRUE(contains(objects, "image 1/1" + wiped)) << objects;
  const std::string audit = on_terminal(80,
      "exec build/patchcl audit model --method supervised --steps 2 --tensors 1 --size 16 --widths 2,4 "
      "--data phantom:cases=4,val=1,size=32");
  for (const char* part : {"step 2/2", "pass 4/4", "tensor 1/1"})
    EXPECT_TRUE(contains(audit, part + wiped)) << audit;
}

}  // namespace
}  // namespace patchcl
