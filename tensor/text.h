// Text in memory, written and read as a stream. Where memory runs out these throw std::bad_alloc; those of
// the standard lose what follows and say nothing: half of a table or of a plan would pass for the whole.
#pragma once
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

namespace patchcl {

struct TextOut : std::ostringstream {
  TextOut() { exceptions(badbit); }
};

struct TextIn : std::istringstream {
  explicit TextIn(const std::string& text) : std::istringstream(text) { exceptions(badbit); }
};

// "0,1,255"; bytes as numbers.
template <class T> std::string listed(const std::vector<T>& all, const char* between = ",") {
  TextOut s;
  for (size_t i = 0; i < all.size(); ++i) {
    s << (i ? between : "");
    if constexpr (std::is_arithmetic_v<T>) s << +all[i];
    else s << all[i];
  }
  return s.str();
}

// "1 step", "2 steps".
std::string counted(int64_t n, const std::string& one);

// A word as a shell reads it back, for commands that a message proposes: in quotes where it needs them.
std::string in_shell(const std::string& word);

}  // namespace patchcl
