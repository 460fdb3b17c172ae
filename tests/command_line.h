// Runs the program as a user does, for tests of options, messages and exit codes.
#pragma once
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "train/methods/method.h"

namespace patchcl::test {

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

struct Outcome {
  int code;            // exit code, or -1 when a signal ended the program
  std::string output;  // standard output and error
};

// `environment`: assignments before the command, as in a shell.
inline Outcome run_patchcl(const std::string& arguments, const std::string& environment = "") {
  Outcome o{-1, ""};
  const char* program = std::getenv("PATCHCL");
  FILE* pipe = popen(
      (environment + " " + (program ? program : "build/patchcl") + " " + arguments + " 2>&1").c_str(), "r");
  if (!pipe) return o;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) o.output.append(buffer, n);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) o.code = WEXITSTATUS(status);
  return o;
}

// The methods of the program: those of the test binary without the ones that a test adds (order 1000 and on).
inline std::vector<std::string> program_methods() {
  std::vector<std::string> names;
  for (const MethodEntry& m : methods())
    if (m.order < 1000) names.push_back(m.name);
  return names;
}

// " --NAME VALUE" where the method reads that option, else nothing.
inline std::string if_read(const std::string& method, const std::string& name, const std::string& value) {
  const std::vector<std::string> known = program_methods();
  if (std::find(known.begin(), known.end(), method) == known.end()) return "";
  return make_method(method)->options().contains(name) ? " --" + name + " " + value : "";
}

// A folder that lives as long as the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "patchcl_test_XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace patchcl::test
