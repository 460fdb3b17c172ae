#include "train/loop/stop_signals.h"

namespace patchcl {

namespace {
volatile std::sig_atomic_t g_stop = 0;
void ask_to_stop(int) { g_stop = 1; }
}  // namespace

StopSignals::StopSignals() {
  g_stop = 0;
  struct sigaction a {};
  a.sa_handler = ask_to_stop;
  a.sa_flags = SA_RESETHAND;
  sigaction(SIGINT, &a, &old_int_);
  sigaction(SIGTERM, &a, &old_term_);
}

StopSignals::~StopSignals() {
  sigaction(SIGINT, &old_int_, nullptr);
  sigaction(SIGTERM, &old_term_, nullptr);
}

bool StopSignals::asked() const { return g_stop != 0; }

}  // namespace patchcl
