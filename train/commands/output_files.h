// OutputFiles: the files that a command will write, all named before its work begins. None may stand twice in
// the list, and none may take the place of a file that the command reads or of a data set's reference mask.
#pragma once
#include <map>
#include <set>
#include <string>

#include "data/layouts/layout.h"

namespace patchcl {

class OutputFiles {
 public:
  explicit OutputFiles(std::string command) : command_(std::move(command)) {}

  // What has to stay: a file, "the image"; or all that the cases of a data set are read from.
  void keep(const std::string& path, const std::string& what);
  void keep_files_of(const Layout& layout);

  // "the mask of a.png". Error(usage) that names both where something has to stay at that path or was added
  // there, behind links too. What an earlier prediction left there may be replaced.
  void add(const std::string& path, const std::string& what);

 private:
  void keep_references_near(const std::string& place);

  const std::string command_;
  std::map<std::string, std::string> kept_, added_;  // what lies at each place
  std::set<std::string> known_folders_;              // whose references are kept
};

}  // namespace patchcl
