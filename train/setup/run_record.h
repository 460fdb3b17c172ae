// run.json in a run folder: which program made it, how it was called, on which data, and what a step cost.
#pragma once
#include <ctime>
#include <string>
#include <vector>

namespace patchcl {

class Dataset;

// "0.9", "2678fa5" (or "2678fa5+" for a tree with changes), "g++ 12.2.0 release".
extern const char *const kVersion, *const kCommit, *const kCompiler;

// The arguments of this process, the program's name first. Set once, by main().
const std::vector<std::string>& command_line();
void set_command_line(int argc, char** argv);

// Adds this process to FOLDER/run.json: a run that was resumed has an entry for each.
void record_run(const std::string& folder, const std::string& data, const Dataset& dataset);

// The fingerprint of the data of that run's last process; empty where none tells.
std::string recorded_fingerprint(const std::string& folder);

// What `labeled` of that run means: the file that it names as the run keeps it, FOLDER/labeled.txt, where
// there is one; else itself. And keeps it.
std::string labeled_of_run(const std::string& folder, const std::string& labeled);
void keep_labeled(const std::string& folder, const std::string& labeled);

// What steps cost: CPU time of all threads of this process, the loading of data included, validation and
// checkpoints not. On a GPU that of its host.
struct StepCost {
  int64_t steps = 0;
  double cpu_seconds = 0;
  void add_step_since(std::clock_t begin) {
    ++steps;
    cpu_seconds += double(std::clock() - begin) / CLOCKS_PER_SEC;
  }
};

// Into the last entry of FOLDER/run.json.
void record_cost(const std::string& folder, const StepCost& cost);
// CPU seconds a step over all entries of FOLDER/run.json; NaN where none tells.
double recorded_step_seconds(const std::string& folder);

}  // namespace patchcl
