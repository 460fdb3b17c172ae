#include "train/loop/stop_signals.h"

namespace patchcl {

namespace {
volatile std::sig_atomic_t g_stop = 0;
void ask_to_stop(int) { g_stop = 1; }
}  // namespace

StopSignals::StopSignals() {
  g_stop = 0;
  for (int i = 0; i < 4; ++i) {
    struct sigaction a {};
    a.sa_handler = ask_to_stop;
    // A terminal that closes may send several.
    const bool once = kSignals[i] == SIGINT || kSignals[i] == SIGTERM;
    a.sa_flags = SA_RESTART | int(once ? SA_RESETHAND : 0);
    sigaction(kSignals[i], &a, &before_[i]);
    if (kSignals[i] == SIGHUP && before_[i].sa_handler == SIG_IGN) sigaction(SIGHUP, &before_[i], nullptr);
  }
}

StopSignals::~StopSignals() {
  for (int i = 0; i < 4; ++i) sigaction(kSignals[i], &before_[i], nullptr);
}

bool StopSignals::asked() const { return g_stop != 0; }

}  // namespace patchcl
