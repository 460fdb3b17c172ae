// Text in memory, written and read as a stream. Where memory runs out these throw std::bad_alloc; those of
// the standard lose what follows and say nothing: half of a table or of a plan would pass for the whole.
#pragma once
#include <sstream>
#include <string>

namespace patchcl {

struct TextOut : std::ostringstream {
  TextOut() { exceptions(badbit); }
};

struct TextIn : std::istringstream {
  explicit TextIn(const std::string& text) : std::istringstream(text) { exceptions(badbit); }
};

}  // namespace patchcl
