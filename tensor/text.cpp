#include "tensor/text.h"

#include <algorithm>
#include <cctype>
#include <cstring>

namespace patchcl {

std::string counted(int64_t n, const std::string& one) {
  return std::to_string(n) + " " + one + (n == 1 ? "" : "s");
}

std::string in_shell(const std::string& word) {
  const auto is_plain = [](unsigned char c) {
    return std::isalnum(c) || c > 127 || std::strchr("_@%+=:,./-", c);
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), is_plain)) return word;
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'') quoted += "'\\'";  // ends the quotes, is one itself, begins them anew
    quoted += c;
  }
  return quoted + "'";
}

}  // namespace patchcl
