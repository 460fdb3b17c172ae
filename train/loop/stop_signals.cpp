#include "train/loop/stop_signals.h"

#include <atomic>

namespace patchcl {

namespace {
std::atomic<bool> g_stop{false};  // any thread may look
StopSignals::Listener g_listener = nullptr;
void ask_to_stop(int, siginfo_t* signal, void*) {
  g_stop = true;
  if (g_listener) g_listener(*signal);
}
}  // namespace

StopSignals::StopSignals(Listener listener) {
  g_stop = false;
  g_listener = listener;
  for (int i = 0; i < 4; ++i) {
    struct sigaction a {};
    a.sa_sigaction = ask_to_stop;
    // A terminal that closes may send several.
    const bool once = kSignals[i] == SIGINT || kSignals[i] == SIGTERM;
    a.sa_flags = SA_SIGINFO | SA_RESTART | int(once ? SA_RESETHAND : 0);
    sigaction(kSignals[i], &a, &before_[i]);
    if (kSignals[i] == SIGHUP && before_[i].sa_handler == SIG_IGN) sigaction(SIGHUP, &before_[i], nullptr);
  }
}

StopSignals::~StopSignals() {
  for (int i = 0; i < 4; ++i) sigaction(kSignals[i], &before_[i], nullptr);
}

bool StopSignals::asked() { return g_stop; }

}  // namespace patchcl
