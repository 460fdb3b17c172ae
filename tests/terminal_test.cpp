// Text in columns and lines, and the help that is made of it.
#include "train/evaluate/terminal.h"

#include <gtest/gtest.h>

#include "data/formats/image.h"
#include "tensor/text.h"
#include "tests/command_line.h"
#include "tests/terminal.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  TextIn in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line.substr(0, line.find('\r')));
  return lines;
}

std::vector<std::string> all_commands() {
  std::vector<std::string> names;
  for (const std::string& line : lines_of(run_patchcl("--help").output))
    if (line.starts_with("  ") && line[2] != ' ') names.push_back(line.substr(2, line.find(' ', 2) - 2));
  return names;
}

TEST(Terminal, CountsLettersAndNotTheirBytes) {
  EXPECT_EQ(columns("mask"), 4u);
  EXPECT_EQ(columns("Müller"), 6u);
  EXPECT_EQ(columns("Mu\u0308ller"), 6u) << "an umlaut of two marks, as in names from a Mac";
  EXPECT_EQ(columns("病例"), 4u);
  EXPECT_EQ(columns("a\xff\xc3z"), 4u) << "no UTF-8";
  EXPECT_EQ(first_columns("Müller", 2), "Mü");
  EXPECT_EQ(first_columns("病例", 3), "病");
  EXPECT_EQ(first_columns("a\xc3", 9), "a\xc3");
  EXPECT_EQ(padded("Mü", 4), "Mü  ");
  EXPECT_EQ(padded("Müller", 4), "Müller");
}

TEST(Terminal, WrapsBetweenWordsAndElseBehindBars) {
  EXPECT_EQ(wrapped("in one line", 30), "in one line");
  EXPECT_EQ(wrapped("words that go on in a second line", 24, 2), "words that go on in a\n  second line");
  EXPECT_EQ(wrapped("behind what has begun", 30, 10, 10), "behind what has\n          begun");
  EXPECT_EQ(wrapped("über süßem Öl blühts", 20), "über süßem Öl blühts");
  EXPECT_EQ(wrapped("first|second|third|fourth", 20, 2), "first|second|third|\n  fourth");
  EXPECT_EQ(wrapped("one-word-that-is-too-long-for-it and", 20), "one-word-that-is-too-long-for-it\nand");
  EXPECT_EQ(wrapped("a\n\nb", 20, 2), "a\n\n  b");
}

TEST(Help, EndsWhereTheTerminalDoes) {
  const std::vector<std::string> commands = all_commands();
  ASSERT_GE(commands.size(), 14u);
  for (const std::string& command : commands) {
    const std::string help = " --help", program = "exec build/patchcl ";
    for (const std::string& line : lines_of(on_terminal(80, program + command + help)))
      EXPECT_LE(columns(line), 80u) << command << "\n" << line;
    for (const std::string& line : lines_of(run_patchcl(command + help).output))
      EXPECT_LE(columns(line), 110u) << command << "\n" << line;
  }
}

TEST(Help, KeepsItsColumns) {
  for (const std::string& line : lines_of(run_patchcl("--help").output))
    if (line.starts_with("  ") && line[2] != ' ') {
      EXPECT_TRUE(line.substr(0, 15).ends_with("  ")) << line;
      EXPECT_NE(line[15], ' ') << line;
    }
  const std::string eval = on_terminal(80, "exec build/patchcl eval --help");
  EXPECT_TRUE(contains(eval,
      "\n  --tta                       Mean of the probabilities over the eight flips"
      "\r\n                              and quarter turns of the input\r\n"))
      << eval;
  // May be pasted.
  EXPECT_TRUE(contains(eval, " --weights best.safetensors \\\r\n      --spacing mm ")) << eval;
  EXPECT_TRUE(contains(run_patchcl("inspect --help").output, "\nExamples:\n  patchcl inspect"));
}

// Names of cases and classes may hold any letters.
TEST(Help, TablesStandInColumnsWhateverTheNames) {
  const TemporaryFolder folder;
  const std::vector<uint8_t> mask{0, 1, 1, 0, 0, 0, 1, 1, 2, 2, 0, 0};
  for (const char* name : {"Müller_öß.png", "a.png"}) write_png(folder / name, mask.data(), 3, 4, 1);
  for (const char* more : {"", " --instances"}) {
    const Outcome o = run_patchcl("score " + folder.path() + " " + folder.path() + more);
    size_t bar = 0, rows = 0;
    for (const std::string& line : lines_of(o.output)) {
      EXPECT_LE(columns(line), 110u) << line;
      const size_t at = line.find(" |");
      if (at == std::string::npos) continue;
      const size_t column = columns(line.substr(0, at));
      EXPECT_TRUE(bar == 0 || bar == column) << line;
      bar = column;
      ++rows;
    }
    EXPECT_GE(rows, 5u) << o.output;
  }
}

}  // namespace
