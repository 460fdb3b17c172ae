#include "data/layouts/fold_file.h"

#include <nlohmann/json.hpp>

namespace patchcl {

std::string folds_json(const Layout& layout, DatasetOptions options) {
  const std::string of = options.fold.substr(options.fold.find('/') + 1);
  options.tune = 0;
  nlohmann::ordered_json folds = nlohmann::ordered_json::array();
  for (int k = 1; k <= std::stoi(of); ++k) {
    Layout cut = layout;
    options.fold = std::to_string(k) + "/" + of;
    divide(cut, options);
    nlohmann::ordered_json fold{{"train", nlohmann::json::array()}, {"val", nlohmann::json::array()}};
    for (const Source& s : cut.train)
      if (s.labeled()) fold["train"].push_back(s.id);
    for (const Source& s : cut.validation)
      if (s.labeled()) fold["val"].push_back(s.id);
    folds.push_back(fold);
  }
  return folds.dump(2) + "\n";
}

}  // namespace patchcl
