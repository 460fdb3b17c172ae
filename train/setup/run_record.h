// run.json in a run folder: which program made it, how it was called, on which data.
#pragma once
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

}  // namespace patchcl
