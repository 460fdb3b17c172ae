// The files of a run folder: their names, and which of them a user means who names a folder.
#pragma once
#include <string>

namespace patchcl {

namespace run_file {
constexpr const char* lock = "run.lock";          // one process at a time
constexpr const char* config = "config.toml";     // what ran: every option, resolved
constexpr const char* labeled = "labeled.txt";    // the list that --labeled named
constexpr const char* record = "run.json";        // which program, called how, on which data
constexpr const char* metrics = "metrics.jsonl";  // numbers only, so that equal runs have equal files
constexpr const char* table = "metrics.csv";      // the same as a table
constexpr const char* audits = "audit.jsonl";     // spot checks of the gradient
constexpr const char* last = "last.safetensors";  // the checkpoint
constexpr const char* before = "last.1.safetensors";
constexpr const char* best = "best.safetensors";  // weights of the best validation
constexpr const char* best_scores = "best.json";
constexpr const char* results = "results.json";  // the last that is written: a run that has it is complete
constexpr const char* results_table = "results.md";
constexpr const char* report = "report.html";  // all of it as a page
constexpr const char* overlays = "overlays";   // a folder: held-out cases
constexpr const char* pictures = "pictures";   // a folder: what the method sees
}  // namespace run_file

// FOLDER/NAME.
inline std::string in_run(const std::string& folder, const std::string& name) { return folder + "/" + name; }
// The best weights of a phase that is over: "best-pre-training.safetensors".
inline std::string best_of(const std::string& phase) { return "best-" + phase + ".safetensors"; }
inline bool is_best_of_a_phase(const std::string& name) {
  return name.starts_with("best-") && name.ends_with(".safetensors");
}

// The run folder that `resume` (folder or checkpoint) stands for.
std::string folder_of(const std::string& resume);
// The path of the checkpoint that `resume` (folder or file) stands for.
std::string checkpoint_path(const std::string& resume);
// The weights that are meant: of a run folder the best; of one that validated on nothing the last, with a
// note.
std::string weights_path(const std::string& from);
// Whether the run that `resume` stands for, if it does for one, lies there.
bool goes_on_in(const std::string& resume, const std::string& folder);
// Takes the best weights and scores out of a folder in which another run begins.
void forget_best(const std::string& folder);
// Begins `to` as a copy of that run, for one that goes on there with this configuration: best weights, scores
// and logs, and last the checkpoint. Error(io).
void copy_run(const std::string& resume, const std::string& to, const std::string& config);

}  // namespace patchcl
