// Errors: one exception type, one sentence shape, one exit code per kind.
//
// A message reads "[where] what, values, what to do next", for example
//   [conv2d] weight (3,3,16,32) wants 16 input channels, x has 17 (1,64,64,17)
// main() prints what() and returns code(): the codes below are part of the command line's contract.
#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

namespace patchcl {

enum class ExitCode : int {
  ok = 0,
  internal = 1,     // a bug of ours: please report it
  usage = 2,        // unknown option, config key or value
  data = 3,         // an input file is missing, damaged or contradicts another one
  io = 4,           // could not write: disk full, no permission
  non_finite = 5,   // a loss, activation or gradient became NaN or infinite
  checkpoint = 6,   // a checkpoint is damaged or belongs to another configuration
  audit = 7,        // a gradient check failed
  device = 8,       // no GPU, out of memory, a CUDA call failed
  interrupted = 9,  // SIGINT or SIGTERM: a checkpoint was written, --resume goes on
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// fail(ExitCode::data, "data", "no slice in ", path, "; check the list file")  ->  "[data] no slice in ..."
template <class... Parts>
[[noreturn]] void fail(ExitCode code, const std::string& where, const Parts&... parts) {
  std::ostringstream s;
  s << '[' << where << "] ";
  (s << ... << parts);
  throw Error(code, s.str());
}

// A contradiction between shapes or types that the caller of an op can mend.
template <class... Parts> void require(bool condition, const char* where, const Parts&... parts) {
  if (!condition) fail(ExitCode::internal, where, parts...);
}

}  // namespace patchcl
