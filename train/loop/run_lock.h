// One process at a time in a run folder: two would write over each other's checkpoints and logs.
#pragma once
#include <string>

namespace patchcl {

class RunLock {
 public:
  // Holds FOLDER/run.lock until it is destroyed; the system lets go of it when the process dies in any way,
  // so the file may stay. Error(usage) naming the process that holds it.
  explicit RunLock(const std::string& folder);
  ~RunLock();
  RunLock(const RunLock&) = delete;

 private:
  int fd_;
};

}  // namespace patchcl
