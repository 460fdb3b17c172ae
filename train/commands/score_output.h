// What `eval` and `score` share: the conventions of metrics, what makes objects of classes, and scores as
// table, JSON and CSV.
#pragma once
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/objects.h"
#include "train/evaluate/object_metrics.h"

namespace CLI {
class App;
}

namespace patchcl {

// What was scored and how.
struct About {
  nlohmann::ordered_json json;
  std::string unusual;  // of that, what is not as it usually is: " --tta --fit crop"

  // An option under its name, "bilinear-back", which JSON has with underscores.
  template <class T> void add(const std::string& option, const T& value, const T& usual) {
    std::string key = option;
    std::replace(key.begin(), key.end(), '-', '_');
    json[key] = value;
    if (value == usual) return;
    const nlohmann::ordered_json text = value;
    unusual += " --" + option;
    if (text != true) unusual += " " + (text.is_string() ? text.get<std::string>() : text.dump());
  }
};

struct ScoreOutput {
  std::string spacing = "voxel", empty = "nan", preset, json, csv;

  void add(CLI::App& app);
  // Makes the folders of the files asked for. Error(io) before anything is scored where that fails.
  void prepare() const;
  MetricOptions metrics() const;
  // The table, unless JSON or CSV goes to standard output, and the files asked for. Error(io) naming a file
  // that cannot be written.
  void write(const Summary& summary, const std::vector<std::string>& names, const About& about) const;
  void write(const ObjectSummary& summary, const About& about) const;

 private:
  void write(const std::string& table, const nlohmann::ordered_json& numbers, const std::string& rows) const;
};

void describe_objects(const ObjectOptions& options, const ObjectOptions& usual, About& about);
// --min-size, --fill-holes, --border-class and --border-width; they need the option `objects`.
void add_object_options(CLI::App& app, ObjectOptions& options, const std::string& objects);

}  // namespace patchcl
