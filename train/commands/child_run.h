// This program run by itself with other arguments, as `patchcl grid` does, and stopped with its caller.
#pragma once
#include <csignal>
#include <string>
#include <vector>

namespace patchcl {

// While it lives, SIGINT, SIGTERM and SIGHUP stop the children and not this process, which waits for them; a
// second one kills it. A terminal sends its signals to all by itself; others are passed on (stop_signals.h).
// A SIGHUP that the caller ignores stays ignored.
class StopChildren {
 public:
  StopChildren();
  ~StopChildren();
  StopChildren(const StopChildren&) = delete;
  static bool asked();

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction before_[3];
};

// At most this many at a time.
inline constexpr int kMostChildren = 256;

// Its exit code, 128 and the signal for one that was killed. Its output goes to the end of the file `log`.
int run_self(std::vector<std::string> arguments, const std::string& log);

}  // namespace patchcl
