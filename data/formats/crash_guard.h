// A library that crashes over a damaged file shall end the program in words, as any other damaged file does:
// libhdf5 1.10 follows pointers and lengths of the file in more places than we can look at beforehand
// (docs/reliability.md names one).
#pragma once
#include <string>

namespace patchcl {

// While it lives, SIGSEGV, SIGBUS, SIGFPE or SIGABRT of the thread that made it ends the process with
// ExitCode::data and "[where] name: ...". Nothing can be saved then: memory may be damaged. One at a time.
class CrashGuard {
 public:
  CrashGuard(const std::string& where, const std::string& name);
  CrashGuard(const CrashGuard&) = delete;
  ~CrashGuard();
};

}  // namespace patchcl
