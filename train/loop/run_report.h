// report.html of a run folder: one page that needs nothing else, made from what the folder holds: run.json,
// config.toml, metrics.jsonl, audit.jsonl, results.json, overlays and pictures. Parts that are missing or
// unreadable are left out; a run that is still going on has a page too.
#pragma once
#include <string>

#include "train/evaluate/html.h"

namespace patchcl {

// Writes FOLDER/report.html; `results` are those that FOLDER/results.json is going to hold, where it does not
// yet. Error(io) when that fails, Error(usage) when FOLDER holds no run.
void write_run_report(const std::string& folder, const std::string& results = "");

// The mean validation Dice over the steps of a run; empty where there is none.
html::Curve validation_curve(const std::string& folder);

}  // namespace patchcl
