// The values of an enum by the names that options and files call them.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace patchcl {

template <class E> using Names = std::vector<std::pair<std::string, E>>;

// Those of an enum whose values count from 0 in the order of these names.
template <class E> Names<E> in_order(const std::vector<std::string>& words) {
  Names<E> names;
  for (const std::string& w : words) names.push_back({w, E(names.size())});
  return names;
}

}  // namespace patchcl
