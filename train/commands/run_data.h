// RunData: the data that a run trained on, found again: where they were, or moved, or a copy of them.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>

#include "data/layouts/splits.h"
#include "train/options/option_list.h"

namespace patchcl {

struct RunData {
  // own: the run's lists of cases, by their fingerprint. changed: the run's folder, where cases came or went
  // since. A run that recorded no fingerprint is known by that folder alone.
  enum class Match { own, changed, other };
  std::string config;                         // RUN/config.toml
  std::map<std::string, std::string> values;  // in it
  Match match = Match::other;
  std::string why = {};                // it is taken for changed
  std::set<std::string> trained = {};  // own: the cases that it trained on
};

// Of the run that these weights lie in, and `data`; nothing where they lie in none. Error(checkpoint) for a
// config.toml that cannot be read.
std::optional<RunData> run_data(const std::string& weights, const std::string& data);

// --val, --tune, --fold: which cases are held out.
void declare_held_out_options(OptionList& list, DatasetOptions& options);

}  // namespace patchcl
