// How options are read from a command line and from a file.
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

#include "train/options/option_list.h"

using namespace patchcl;

namespace {

// The widths that a command line (words behind the program's name) leaves.
std::vector<int> widths_of(const std::string& line) {
  std::vector<int> widths{1};
  std::string name;
  OptionList list;
  list.add("widths", widths, "");
  list.add("name", name, "");
  CLI::App app;
  list.declare_to(app);
  app.parse(line);
  return widths;
}

// A variant of a plan says again what the plan says of all.
TEST(OptionList, OfAListThatIsGivenTwiceTheLastCounts) {
  EXPECT_EQ(widths_of("--widths 4,8 --widths 16,32,64"), (std::vector<int>{16, 32, 64}));
  EXPECT_EQ(widths_of("--widths 4 8 --name x --widths 16 32"), (std::vector<int>{16, 32}));
  EXPECT_EQ(widths_of("--widths=4,8 --widths=2 --widths=3"), (std::vector<int>{3}));
  EXPECT_EQ(widths_of("--widths 4 8,16 32"), (std::vector<int>{4, 8, 16, 32}));
  EXPECT_EQ(widths_of("--name x"), (std::vector<int>{1}));
}

}  // namespace
