// The generated pages say what the program says today.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>

namespace {

// Exit code and output of a shell command, standard error included.
std::pair<int, std::string> shell(const std::string& command) {
  std::string output;
  FILE* pipe = popen(("( " + command + " ) 2>&1").c_str(), "r");
  if (!pipe) return {-1, ""};
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, n);
  return {pclose(pipe), output};
}

TEST(Docs, EquationsAreWhereThePageSays) {
  const auto [code, difference] =
      shell("docs/equations.sh > build/equations.md && diff docs/equations.md build/equations.md");
  EXPECT_EQ(code, 0) << "run `make docs`\n" << difference;
}

TEST(Docs, OptionsAreWhatTheHelpSays) {
  const auto [code, difference] =
      shell("docs/options.sh > build/options.md && diff docs/options.md build/options.md");
  EXPECT_EQ(code, 0) << "run `make docs`\n" << difference;
}

// Every block ```console of the page: its first line is a command, the rest what that printed.
TEST(Docs, TheWalkthroughPrintsWhatItSays) {
  std::ifstream page("docs/walkthrough.md");
  int blocks = 0;
  for (std::string line; std::getline(page, line);) {
    if (line != "```console") continue;
    std::string command, expected;
    std::getline(page, command);
    ASSERT_TRUE(command.starts_with("$ ")) << command;
    for (; std::getline(page, line) && line != "```";) expected += line + "\n";
    EXPECT_EQ(shell(command.substr(2)).second, expected) << command;
    ++blocks;
  }
  EXPECT_EQ(blocks, 10);
}

TEST(Docs, TheWalkthroughsExercisesHaveTests) {
  const auto [code, missing] = shell(
      "for t in $(sed -n '/^## Exercises/,$p' docs/walkthrough.md | grep -o '`[A-Z][A-Za-z]*`$' | tr -d "
      "'`'); do "
      "grep -rqw $t tests/*.cpp || { echo $t; exit 1; }; done");
  EXPECT_EQ(code, 0) << missing;
}

TEST(Docs, AMarkWithoutARowIsRefused) {
  const auto [code, message] = shell(
      "dir=$(mktemp -d) && cp -r --parents docs/equations.* losses/dice.cpp $dir && cd $dir && mkdir -p "
      "tensor autograd layers data train tests && "
      "sed -i 's/EQ: 4.4 Dice loss$/EQ: 4.4 Dyce loss/' losses/dice.cpp && docs/equations.sh; code=$?; rm -r "
      "$dir; exit $code");
  EXPECT_NE(code, 0);
  EXPECT_NE(message.find("'4.4 Dyce loss' at losses/dice.cpp:"), std::string::npos) << message;
}

// The title of a section of equations.md is the heading of docs/methods.md, and links to it.
TEST(Docs, ASectionWithoutAHeadingIsRefused) {
  const std::string tree =
      "dir=$(mktemp -d) && cp --parents docs/equations.sh $dir && cd $dir && mkdir -p tensor autograd layers "
      "losses data train tests && echo '// EQ: 7.2 mix' > losses/mix.h && echo Mixes > tests/mix_test.cpp && "
      "printf '# mark\n7.2 mix\tx\tus\tMix.Mixes\tmodel\n7.2 mix\tx\tus\tMix.Mixes\tdice\n' > "
      "docs/equations.tsv && "
      "printf '# Methods\n### 7.1 Tables, in 7.2\n### 7.%s Copy-paste, both ways\n' $number > "
      "docs/methods.md && "
      "docs/equations.sh; code=$?; rm -r $dir; exit $code";
  const auto [code, page] = shell("number=2; " + tree);
  EXPECT_EQ(code, 0) << page;
  EXPECT_NE(
      page.find("\n## [7.2 Copy-paste, both ways](methods.md#72-copy-paste-both-ways)\n"), std::string::npos)
      << page;
  const auto [refused, message] = shell("number=20; " + tree);
  EXPECT_NE(refused, 0);
  EXPECT_NE(message.find("docs/methods.md has no section 7.2"), std::string::npos) << message;
}

TEST(Docs, LinksOfTheMethodsPageLeadToFiles) {
  const auto [code, missing] = shell(
      "links=$(grep -oE '\\]\\([^ )#]+' docs/methods.md | cut -c3-) && test $(echo \"$links\" | wc -l) -gt "
      "20 "
      "&& "
      "for l in $links; do test -f docs/$l || { echo $l; exit 1; }; done");
  EXPECT_EQ(code, 0) << missing;
}

}  // namespace
