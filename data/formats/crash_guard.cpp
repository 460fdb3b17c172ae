#include "data/formats/crash_guard.h"

#include <signal.h>
#include <unistd.h>

#include <iterator>

#include "tensor/error.h"
#include "tensor/file.h"

namespace patchcl {

namespace {
constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGABRT};

// A handler cannot be handed anything.
pid_t guarded = 0;
std::string message;
struct sigaction before[std::size(kSignals)];
alignas(64) char stack[1 << 16];  // the thread's own may be what ran out
stack_t stack_before;

void restore() {
  for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &before[i], nullptr);
}

// What a handler may call: gettid, sigaction, raise, write, _exit.
void say_and_end(int signal) {
  if (gettid() != guarded) {  // not the library's doing
    restore();
    raise(signal);
    return;
  }
  [[maybe_unused]] const ssize_t said = write(STDERR_FILENO, message.data(), message.size());
  _exit(int(ExitCode::data));
}
}  // namespace

CrashGuard::CrashGuard(const std::string& where, const std::string& name) {
  guarded = gettid();
  message = "error: [" + where + "] " + printable(name) +
            ": the library that reads it crashed, the file is damaged; fetch or convert it again\n";
  stack_t own{};
  own.ss_sp = stack;
  own.ss_size = sizeof stack;
  sigaltstack(&own, &stack_before);
  struct sigaction action {};
  action.sa_handler = say_and_end;
  action.sa_flags = SA_ONSTACK;
  for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &action, &before[i]);
}

CrashGuard::~CrashGuard() {
  restore();
  sigaltstack(&stack_before, nullptr);
}

}  // namespace patchcl
