#include "train/setup/run_folder.h"

#include <cstdio>
#include <filesystem>
#include <vector>

#include "tensor/file.h"

namespace patchcl {

namespace fs = std::filesystem;

std::string checkpoint_path(const std::string& resume) {
  return fs::is_directory(resume) ? in_run(resume, run_file::last) : resume;
}

std::string weights_path(const std::string& from) {
  if (!fs::is_directory(from)) return from;
  const std::string best = in_run(from, run_file::best), last = in_run(from, run_file::last);
  if (fs::exists(best) || !fs::exists(last)) return best;
  std::fprintf(stderr, "%s has no %s; its last weights are taken\n", printable(from).c_str(), run_file::best);
  return last;
}

std::string folder_of(const std::string& resume) {
  if (fs::is_directory(resume)) return resume;
  const std::string folder = fs::path(resume).parent_path();
  return folder.empty() ? "." : folder;
}

bool goes_on_in(const std::string& resume, const std::string& folder) {
  return !resume.empty() && fs::equivalent(folder_of(resume), folder);
}

void forget_best(const std::string& folder) {
  std::vector<fs::path> old;
  for (const auto& entry : fs::directory_iterator(folder))
    if (const std::string name = entry.path().filename();
        name == run_file::best || name == run_file::best_scores || is_best_of_a_phase(name))
      old.push_back(entry.path());
  for (const fs::path& path : old) fs::remove(path);
}

namespace {
// What a run that goes on elsewhere takes along, beside its configuration and its checkpoint.
bool goes_along(const std::string& name) {
  for (const char* file : {run_file::best, run_file::best_scores, run_file::record, run_file::metrics,
           run_file::table, run_file::audits})
    if (name == file) return true;
  return is_best_of_a_phase(name);
}
}  // namespace

void copy_run(const std::string& resume, const std::string& to, const std::string& config) {
  const auto copy = [&](const std::string& file, const std::string& name) {
    write_bytes(in_run(to, name), read_bytes(file, ExitCode::checkpoint));
  };
  for (const auto& entry : fs::directory_iterator(folder_of(resume)))
    if (const std::string name = entry.path().filename(); entry.is_regular_file() && goes_along(name))
      copy(entry.path(), name);
  update_text(in_run(to, run_file::config), config);
  copy(checkpoint_path(resume), run_file::last);
}

}  // namespace patchcl
