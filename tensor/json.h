// JSON that somebody else may have written: the one way to read it.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace patchcl {

// How deep arrays and objects may lie in each other. Files of this program, and those that it knows, have a
// few levels; copies and texts of a value call themselves for each.
constexpr int kDeepestJson = 32;

// The value of a text. Where it is no JSON, or nests deeper than that, a value that is_discarded(), and `why`
// tells people.
template <class Json = nlohmann::json> Json parse_json(std::string_view text, std::string* why = nullptr) {
  struct TooDeep {};
  const auto demand_shallow = [](int depth, typename Json::parse_event_t, Json&) {
    if (depth > kDeepestJson) throw TooDeep();
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), demand_shallow);
  } catch (const typename Json::exception& e) {
    if (why) *why = e.what();
  } catch (const TooDeep&) {
    if (why) *why = "arrays or objects lie more than " + std::to_string(kDeepestJson) + " deep in each other";
  }
  return Json(Json::value_t::discarded);
}

}  // namespace patchcl
