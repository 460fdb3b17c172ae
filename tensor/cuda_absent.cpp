// Linked when the program is built without CUDA: every call says so.
#include "tensor/cuda.h"

#include "tensor/error.h"

namespace patchcl::cuda {

namespace {
[[noreturn]] void absent() {
  fail(ExitCode::device, "cuda",
      "this program was built without CUDA; install the CUDA Toolkit and cuDNN and run `make CUDA=1`, or use "
      "--device cpu");
}
}  // namespace

bool available(std::string* why) {
  if (why) *why = "this program was built without CUDA (`make info` says what was not found)";
  return false;
}
void* alloc(size_t) { absent(); }
void free(void*) { absent(); }
void copy(void*, bool, const void*, bool, size_t) { absent(); }
void fill(void*, uint8_t, size_t) { absent(); }
void set(void*, DType, int64_t, double) { absent(); }
void synchronize() { absent(); }
size_t free_memory() { absent(); }
std::string device_name() { absent(); }
struct Upload::Impl {};
Upload::Upload(size_t) { absent(); }
Upload::~Upload() = default;
void* Upload::fill() { absent(); }
void Upload::send(void*, size_t) { absent(); }
void Upload::release() { absent(); }
struct Stopwatch::Impl {};
Stopwatch::Stopwatch() { absent(); }
Stopwatch::~Stopwatch() = default;
void Stopwatch::start() { absent(); }
double Stopwatch::stop() { absent(); }
Graph::Graph(const std::function<void()>&) { absent(); }
Graph::~Graph() {}
void Graph::launch() const { absent(); }

template <class T>
void gemm(bool, bool, int64_t, int64_t, int64_t, T, const T*, int64_t, const T*, int64_t, T, T*, int64_t) {
  absent();
}
template void gemm(bool, bool, int64_t, int64_t, int64_t, float, const float*, int64_t, const float*, int64_t,
    float, float*, int64_t);
template void gemm(bool, bool, int64_t, int64_t, int64_t, double, const double*, int64_t, const double*,
    int64_t, double, double*, int64_t);

}  // namespace patchcl::cuda
