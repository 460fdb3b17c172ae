// While it lives, SIGINT, SIGTERM and SIGHUP (a terminal that closes) ask for a stop after the current step;
// a second SIGINT or SIGTERM kills. A SIGHUP that the caller ignores, as nohup does, stays ignored.
// kAskToStop, with which `grid` passes on what reached it, asks and never kills: the run may have had the
// same signal.
#pragma once
#include <csignal>

namespace patchcl {

inline constexpr int kAskToStop = SIGUSR1;

class StopSignals {
 public:
  // Told of each signal within its handler, where little is safe.
  using Listener = void (*)(const siginfo_t&);
  explicit StopSignals(Listener listener = nullptr);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  static bool asked();

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, kAskToStop};
  struct sigaction before_[4];
};

}  // namespace patchcl
