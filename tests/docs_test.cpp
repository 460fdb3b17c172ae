// The generated pages say what the program says today.
#include <gtest/gtest.h>

#include <cstdio>
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
  const auto [code, difference] = shell("docs/equations.sh > build/equations.md && diff docs/equations.md build/equations.md");
  EXPECT_EQ(code, 0) << "run `make docs`\n" << difference;
}

TEST(Docs, AMarkWithoutARowIsRefused) {
  const auto [code, message] = shell(
      "dir=$(mktemp -d) && cp -r --parents docs/equations.* losses/dice.cpp $dir && cd $dir && mkdir -p tensor autograd layers data train tests && "
      "sed -i 's/EQ: 4.4 Dice loss$/EQ: 4.4 Dyce loss/' losses/dice.cpp && docs/equations.sh; code=$?; rm -r $dir; exit $code");
  EXPECT_NE(code, 0);
  EXPECT_NE(message.find("'4.4 Dyce loss' at losses/dice.cpp:"), std::string::npos) << message;
}

}  // namespace
