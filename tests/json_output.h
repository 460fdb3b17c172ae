// What a command printed as JSON. On a slow machine its progress stands before it, from standard error.
#pragma once
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/command_line.h"

namespace patchcl::test {

inline nlohmann::json json_in(const Outcome& o) {
  size_t begin = o.output.starts_with('{') ? 0 : o.output.find("\n{");
  if (begin == std::string::npos) begin = 0;
  std::istringstream text(o.output.substr(begin));
  nlohmann::json value;
  text >> value;
  return value;
}

}  // namespace patchcl::test
