// Report: validation results as a line, a table, JSON and pictures.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/picture.h"
#include "data/volume.h"
#include "train/evaluate/metrics.h"

namespace patchcl {

// "dice 0.8123  RV 0.77 Myo 0.80 LV 0.87"
std::string one_line(const Summary& s, const std::vector<std::string>& class_names);
// Markdown: a row per foreground class and the mean, with the metric conventions below.
std::string to_table(const Summary& s, const std::vector<std::string>& class_names);
// {"dice": ., "jaccard": ., "hd95": ., "asd": .}; null where undefined.
nlohmann::ordered_json scores_json(const Scores& s);
std::string to_json(const Summary& s, const std::vector<std::string>& class_names);

// The slice of a volume that is shown.
inline int64_t pictured_slice(const Volume& v) { return v.depth / 2; }
// It as it is, with the reference, and with the prediction. Below, what is said of each foreground class
// beside its colour.
Canvas overlay(
    const Volume& v, const std::vector<uint8_t>& prediction, const std::vector<std::string>& legend);
// As .svg or .png. Makes the folder.
void save_overlay(const std::string& path, const Canvas& overlay);
// "RV Dice 0.812" for each class.
std::vector<std::string> dice_legend(const std::vector<std::string>& foreground, const CaseScores& scores);

}  // namespace patchcl
