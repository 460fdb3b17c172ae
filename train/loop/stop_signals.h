// While it lives, SIGINT, SIGTERM and SIGHUP (a terminal that closes) ask for a stop after the current step;
// a second SIGINT or SIGTERM kills. A SIGHUP that the caller ignores, as nohup does, stays ignored.
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
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction before_[3];
};

}  // namespace patchcl
