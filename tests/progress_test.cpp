#include "train/evaluate/progress.h"

#include <gtest/gtest.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "tests/command_line.h"

namespace patchcl {
namespace {

// What a program prints on a terminal of so many columns.
std::string on_terminal(unsigned short columns, const std::string& command) {
  winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  std::string all;
  char buffer[4096];
  for (ssize_t n; (n = read(terminal, buffer, sizeof buffer)) > 0;) all.append(buffer, size_t(n));
  close(terminal);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0) << all;
  return all;
}

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

}  // namespace
}  // namespace patchcl
