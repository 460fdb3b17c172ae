// Linked when the program is built without CUDA: every call says so.
#include "tensor/cuda.h"

#include "tensor/error.h"

namespace patchcl::cuda {

namespace {
[[noreturn]] void absent() {
  fail(ExitCode::device, "cuda", "this program was built without CUDA; install the CUDA Toolkit and cuDNN and run `make CUDA=1`, or use --device cpu");
}
}  // namespace

bool available(std::string* why) {
  if (why) *why = "this program was built without CUDA (`make info` says what was not found)";
  return false;
}
void* alloc(size_t) { absent(); }
void free(void*) { absent(); }
void copy(void*, bool, const void*, bool, size_t) { absent(); }
void zero(void*, size_t) { absent(); }
void synchronize() { absent(); }

}  // namespace patchcl::cuda
