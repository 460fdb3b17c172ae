#include "tensor/cuda.h"

#include "tensor/cuda_runtime.cuh"
#include "tensor/device.h"

namespace patchcl::cuda {

void check(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return;
  fail(ExitCode::device, "cuda", call, " at ", file, ":", line, " failed: ", cudaGetErrorString(status), " (",
      cudaGetErrorName(status), "); the last checkpoint is intact, --resume goes on from it");
}

void check(cublasStatus_t status, const char* call, const char* file, int line) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(ExitCode::device, "cublas", call, " at ", file, ":", line, " failed: ", cublasGetStatusString(status));
}

bool available(std::string* why) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return true;
  cudaGetLastError();  // forget it: asking is no failure
  if (why)
    *why = status == cudaSuccess ? "the driver lists no GPU"
                                 : std::string("the driver says: ") + cudaGetErrorString(status);
  return false;
}

namespace {
cudaStream_t new_stream() {
  cudaStream_t s;
  CUDA_CHECK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  return s;
}
}  // namespace

cudaStream_t stream() {
  static const cudaStream_t the_stream = new_stream();
  return the_stream;
}

cublasHandle_t cublas() {
  static const cublasHandle_t handle = [] {
    cublasHandle_t h;
    CUDA_CHECK(cublasCreate(&h));
    CUDA_CHECK(cublasSetStream(h, stream()));
    // Its own workspace, because a captured graph must not depend on memory that cuBLAS manages. 32 MiB is
    // what cuBLAS takes by default on Hopper.
    constexpr size_t kWorkspace = size_t(32) << 20;
    CUDA_CHECK(cublasSetWorkspace(h, alloc(kWorkspace), kWorkspace));
    return h;
  }();
  // Left to itself it may add up parts of a bf16 product in bf16.
  constexpr auto kDefault =
      cublasMath_t(CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
  CUDA_CHECK(
      cublasSetMathMode(handle, math_mode() == MathMode::tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : kDefault));
  return handle;
}

void* alloc(size_t bytes) {
  void* p = nullptr;
  const cudaError_t status = cudaMalloc(&p, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    fail(ExitCode::device, "memory", "the GPU has ", free_memory() >> 20, " MiB free, ", bytes >> 20,
        " MiB were asked for; lower --batch or --size");
  }
  CUDA_CHECK(status);
  return p;
}

// No check: it runs in destructors, also while an earlier error is being reported or the driver shuts down.
void free(void* p) { cudaFree(p); }

namespace {
// A GPU with the host's page tables (Grace Hopper) reads pageable memory itself, whenever it comes to it; any
// other driver has copied that into pages of its own by the time that cudaMemcpyAsync returns.
bool gpu_reads_pageable_memory() {
  static const bool reads = [] {
    int device = 0, yes = 0;
    CUDA_CHECK(cudaGetDevice(&device));
    CUDA_CHECK(cudaDeviceGetAttribute(&yes, cudaDevAttrPageableMemoryAccessUsesHostPageTables, device));
    return yes != 0;
  }();
  return reads;
}
}  // namespace

void copy(void* to, bool to_gpu, const void* from, bool from_gpu, size_t bytes) {
  const cudaMemcpyKind to_it = from_gpu ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice;
  const cudaMemcpyKind kind = to_gpu ? to_it : cudaMemcpyDeviceToHost;
  CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, kind, stream()));
  if (!to_gpu || (!from_gpu && gpu_reads_pageable_memory())) synchronize();
}

void fill(void* p, uint8_t byte, size_t bytes) { CUDA_CHECK(cudaMemsetAsync(p, byte, bytes, stream())); }

namespace {
template <class T> void launch_set(T* p, int64_t n, T value) {
  for_each(n, [=] __device__(int64_t i) { p[i] = value; });
}
}  // namespace

void set(void* p, DType dtype, int64_t n, double value) {
  dispatch_data(dtype, [&](auto zero) {
    using T = decltype(zero);
    launch_set(static_cast<T*>(p), n, T(Precise<T>(value)));
  });
}

void synchronize() { CUDA_CHECK(cudaStreamSynchronize(stream())); }

size_t free_memory() {
  size_t free_bytes = 0, total = 0;
  CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total));
  return free_bytes;
}

std::string device_name() {
  int device = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  cudaDeviceProp properties;
  CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  return properties.name;
}

namespace {
struct Event {
  cudaEvent_t e;
  explicit Event(unsigned flags = cudaEventDisableTiming) { CUDA_CHECK(cudaEventCreateWithFlags(&e, flags)); }
  ~Event() { cudaEventDestroy(e); }
  Event(const Event&) = delete;
};

cudaStream_t copy_stream() {
  static const cudaStream_t the_stream = new_stream();
  return the_stream;
}
}  // namespace

struct Upload::Impl {
  void* memory = nullptr;
  Event sent, released;
};

Upload::Upload(size_t bytes) : impl_(std::make_unique<Impl>()) {
  CUDA_CHECK(cudaMallocHost(&impl_->memory, bytes));
}

// A copy may still read the memory, and cudaFreeHost promises no wait.
Upload::~Upload() {
  cudaEventSynchronize(impl_->sent.e);
  cudaFreeHost(impl_->memory);
}

void* Upload::fill() {
  CUDA_CHECK(cudaEventSynchronize(impl_->sent.e));
  return impl_->memory;
}

void Upload::send(void* to, size_t bytes) {
  CUDA_CHECK(cudaStreamWaitEvent(copy_stream(), impl_->released.e, 0));
  CUDA_CHECK(cudaMemcpyAsync(to, impl_->memory, bytes, cudaMemcpyHostToDevice, copy_stream()));
  CUDA_CHECK(cudaEventRecord(impl_->sent.e, copy_stream()));
  CUDA_CHECK(cudaStreamWaitEvent(stream(), impl_->sent.e, 0));
}

void Upload::release() { CUDA_CHECK(cudaEventRecord(impl_->released.e, stream())); }

struct Stopwatch::Impl {
  Event begin{cudaEventDefault}, end{cudaEventDefault};
};

Stopwatch::Stopwatch() : impl_(std::make_unique<Impl>()) {}
Stopwatch::~Stopwatch() = default;
void Stopwatch::start() { CUDA_CHECK(cudaEventRecord(impl_->begin.e, stream())); }
double Stopwatch::stop() {
  CUDA_CHECK(cudaEventRecord(impl_->end.e, stream()));
  CUDA_CHECK(cudaEventSynchronize(impl_->end.e));
  float milliseconds = 0;
  CUDA_CHECK(cudaEventElapsedTime(&milliseconds, impl_->begin.e, impl_->end.e));
  return double(milliseconds) * 1e-3;
}

Graph::Graph(const std::function<void()>& work) {
  // Thread-local: the loader's threads may do what they want meanwhile.
  CUDA_CHECK(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(stream(), &graph);  // or the stream would stay in capture
    cudaGetLastError();
    if (graph) cudaGraphDestroy(graph);
    throw;
  }
  CUDA_CHECK(cudaStreamEndCapture(stream(), &graph));
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  CUDA_CHECK(status);
  executable_ = executable;
}

// No check, as in free().
Graph::~Graph() {
  if (executable_) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(executable_));
}

void Graph::launch() const {
  CUDA_CHECK(cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable_), stream()));
}

}  // namespace patchcl::cuda
