// What `eval` and `score` share: the conventions of metrics, what makes objects of classes, and scores as
// table, JSON and CSV.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/objects.h"
#include "train/evaluate/object_metrics.h"

namespace CLI {
class App;
}

namespace patchcl {

struct ScoreOutput {
  std::string spacing = "voxel", empty = "nan", preset, json, csv;

  void add(CLI::App& app);
  // Makes the folders of the files asked for. Error(io) before anything is scored where that fails.
  void prepare() const;
  MetricOptions metrics() const;
  // The table, unless JSON or CSV goes to standard output, and the files asked for. `about` says in JSON what
  // was scored. Error(io) naming a file that cannot be written.
  void write(
      const Summary& summary, const std::vector<std::string>& names, nlohmann::ordered_json about) const;
  void write(const ObjectSummary& summary, nlohmann::ordered_json about) const;

 private:
  void write(const std::string& table, const nlohmann::ordered_json& numbers, const std::string& rows) const;
};

// --min-size, --fill-holes, --border-class and --border-width; they need the option `objects`.
void add_object_options(CLI::App& app, ObjectOptions& options, const std::string& objects);

}  // namespace patchcl
