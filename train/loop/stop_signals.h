// While it lives, SIGINT and SIGTERM ask for a stop after the current step; a second one kills.
#pragma once
#include <csignal>

namespace patchcl {

class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  bool asked() const;

 private:
  struct sigaction old_int_, old_term_;
};

}  // namespace patchcl
