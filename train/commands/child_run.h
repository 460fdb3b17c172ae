// This program run by itself with other arguments, as `patchcl grid` does.
#pragma once
#include <csignal>
#include <string>
#include <vector>

namespace patchcl {

// At most this many at a time.
inline constexpr int kMostChildren = 256;

// Its exit code, 128 and the signal for one that was killed. Its output goes to the end of the file `log`. It
// is asked to stop at once where StopSignals (train/loop/stop_signals.h) has been.
int run_self(std::vector<std::string> arguments, const std::string& log);

// Passes a signal on to the children, for StopSignals; not a terminal's, which has sent it to all by itself.
void stop_children(const siginfo_t& signal);

}  // namespace patchcl
