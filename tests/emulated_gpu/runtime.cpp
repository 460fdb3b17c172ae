// Device memory, streams, events and graphs of the emulated GPU. Environment:
//   EMULATED_GPU_MIB=N       how much memory it has (default 8192)
//   EMULATED_GPU_FAILS_AT=N  the N-th kernel launch fails, and everything after it, as when a device is lost
//   EMULATED_GPU_ABSENT=1    the driver lists no GPU
//   EMULATED_GPU_GUARD=1     each allocation ends at the end of a page, and a kernel that goes past it dies
//   EMULATED_GPU_COUNTS=1    at exit, how often the host launched a kernel or a graph, waited for the GPU,
//   and took memory
#include <sys/mman.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "tensor/parallel.h"
#include "threads.h"

using Task = std::function<void()>;

struct CUstream_st {
  std::deque<Task> queue;
  uint64_t pushed = 0, done = 0;
  CUgraph_st* recording = nullptr;
};
struct CUgraph_st {
  std::vector<Task> tasks;
};
struct CUgraphExec_st {
  std::shared_ptr<std::vector<Task>> tasks;
};
struct CUevent_st {
  CUstream_st* stream = nullptr;
  uint64_t ticket = 0;
  std::chrono::steady_clock::time_point time;
};

namespace {

std::recursive_mutex g_mutex;
using Lock = std::lock_guard<std::recursive_mutex>;
std::map<char*, size_t> g_device, g_pinned;
constexpr size_t kPage = 4096;
size_t pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }
char* first_page(char* p) { return reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(p) / kPage * kPage); }
std::vector<std::unique_ptr<CUstream_st>> g_streams;
size_t g_used = 0;
cudaError_t g_error = cudaSuccess;  // of a lost device: it stays
struct Counts {
  long launches = 0, graphs = 0, waits = 0, allocations = 0;
  ~Counts() {
    if (std::getenv("EMULATED_GPU_COUNTS"))
      std::printf("emulated GPU: launches %ld graphs %ld waits %ld allocations %ld\n", launches, graphs,
          waits, allocations);
  }
} g_counts;
int g_open = 0;  // > 0 while tasks run: then device memory may be touched

long setting(const char* name, long otherwise) {
  const char* v = std::getenv(name);
  return v ? std::atol(v) : otherwise;
}

const std::pair<char* const, size_t>* block_of(const std::map<char*, size_t>& blocks, const void* p) {
  auto it = blocks.upper_bound(static_cast<char*>(const_cast<void*>(p)));
  if (it == blocks.begin()) return nullptr;
  --it;
  return static_cast<const char*>(p) < it->first + it->second ? &*it : nullptr;
}
bool inside(const std::map<char*, size_t>& blocks, const void* p, size_t bytes) {
  const auto* b = block_of(blocks, p);
  return b && static_cast<const char*>(p) + bytes <= b->first + b->second;
}

class OpenMemory {
 public:
  OpenMemory() {
    if (g_open++ == 0) protect(PROT_READ | PROT_WRITE);
  }
  ~OpenMemory() {
    if (--g_open == 0) protect(PROT_NONE);
  }

 private:
  static void protect(int how) {
    for (const auto& [p, bytes] : g_device) mprotect(first_page(p), pages(bytes), how);
  }
};

void drain(CUstream_st* s, uint64_t ticket) {
  if (s->done >= ticket) return;
  const OpenMemory open;
  while (s->done < ticket) {
    const Task task = std::move(s->queue.front());
    s->queue.pop_front();
    task();
    ++s->done;
  }
}

bool any_recording() {
  for (const auto& s : g_streams)
    if (s->recording) return true;
  return false;
}

}  // namespace

namespace emulated_gpu {

cudaError_t enqueue(cudaStream_t s, Task task) {
  const Lock lock(g_mutex);
  if (g_error != cudaSuccess) return g_error;
  if (s->recording) {
    s->recording->tasks.push_back(std::move(task));
  } else {
    s->queue.push_back(std::move(task));
    ++s->pushed;
  }
  return cudaSuccess;
}

cudaError_t enqueue_kernel(const cudaLaunchConfig_t& c, std::function<void()> thread) {
  if (++g_counts.launches == setting("EMULATED_GPU_FAILS_AT", -1)) g_error = cudaErrorLaunchFailure;
  const dim3 grid = c.gridDim, block = c.blockDim;
  if (grid.x == 0 || grid.y == 0 || grid.z != 1 || grid.y > 65535 || block.x == 0 || block.x > 1024)
    return cudaErrorInvalidValue;
  return enqueue(c.stream, [grid, block, thread = std::move(thread)] {
    patchcl::parallel_for(int64_t(grid.x) * grid.y,
        [&](int64_t b) { run_block(grid, block, dim3(unsigned(b % grid.x), unsigned(b / grid.x)), thread); });
  });
}

}  // namespace emulated_gpu

const char* cudaGetErrorName(cudaError_t e) {
  switch (e) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorNotReady: return "cudaErrorNotReady";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
  }
  return "?";
}
const char* cudaGetErrorString(cudaError_t e) {
  if (e == cudaErrorLaunchFailure) return "unspecified launch failure";
  if (e == cudaErrorStreamCaptureUnsupported) return "operation not permitted when stream is capturing";
  return cudaGetErrorName(e);
}
cudaError_t cudaGetLastError() { return g_error; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = setting("EMULATED_GPU_ABSENT", 0) ? 0 : 1;
  return *count ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 0;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  std::snprintf(p->name, sizeof p->name, "emulated on the CPU");
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = size_t(setting("EMULATED_GPU_MIB", 8192)) << 20;
  *free = *total > g_used ? *total - g_used : 0;
  return g_error;
}

cudaError_t cudaMalloc(void** p, size_t bytes) {
  const Lock lock(g_mutex);
  if (any_recording()) return cudaErrorStreamCaptureUnsupported;
  ++g_counts.allocations;
  size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) return g_error;
  if (bytes > free) return cudaErrorMemoryAllocation;
  void* m =
      mmap(nullptr, pages(bytes) + kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (m == MAP_FAILED) return cudaErrorMemoryAllocation;
  if (g_open) mprotect(m, pages(bytes), PROT_READ | PROT_WRITE);
  char* const at = static_cast<char*>(m) + (setting("EMULATED_GPU_GUARD", 0) ? pages(bytes) - bytes : 0);
  g_device[at] = bytes;
  g_used += bytes;
  *p = at;
  return cudaSuccess;
}

cudaError_t cudaFree(void* p) {
  const Lock lock(g_mutex);
  if (p && any_recording()) return cudaErrorStreamCaptureUnsupported;
  for (const auto& s : g_streams) drain(s.get(), s->pushed);
  const auto it = g_device.find(static_cast<char*>(p));
  if (it == g_device.end()) return p ? cudaErrorInvalidValue : cudaSuccess;
  munmap(first_page(it->first), pages(it->second) + kPage);
  g_used -= it->second;
  g_device.erase(it);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** p, size_t bytes) {
  const Lock lock(g_mutex);
  if (any_recording()) return cudaErrorStreamCaptureUnsupported;
  *p = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  g_pinned[static_cast<char*>(*p)] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* p) {
  const Lock lock(g_mutex);
  if (any_recording()) return cudaErrorStreamCaptureUnsupported;
  for (const auto& s : g_streams) drain(s.get(), s->pushed);
  g_pinned.erase(static_cast<char*>(p));
  std::free(p);
  return cudaSuccess;
}

// From pageable memory the bytes are taken at once; from page-locked memory when the copy runs.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t s) {
  const Lock lock(g_mutex);
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (bytes > 0 && (inside(g_device, to, bytes) != to_device || inside(g_device, from, bytes) != from_device))
    return cudaErrorInvalidValue;
  const bool pageable =
      (!to_device && !inside(g_pinned, to, bytes)) || (!from_device && !inside(g_pinned, from, bytes));
  if (!pageable) return emulated_gpu::enqueue(s, [=] { std::memmove(to, from, bytes); });
  if (s->recording) return cudaErrorStreamCaptureUnsupported;
  if (from_device) {
    const cudaError_t status = emulated_gpu::enqueue(s, [=] { std::memcpy(to, from, bytes); });
    if (status == cudaSuccess) drain(s, s->pushed);  // our callers wait in so many words
    return status;
  }
  const auto taken = std::make_shared<std::vector<char>>(
      static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
  return emulated_gpu::enqueue(s, [=] { std::memcpy(to, taken->data(), bytes); });
}

cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t s) {
  if (bytes > 0 && !inside(g_device, p, bytes)) return cudaErrorInvalidValue;
  return emulated_gpu::enqueue(s, [=] { std::memset(p, value, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) {
  const Lock lock(g_mutex);
  g_streams.push_back(std::make_unique<CUstream_st>());
  *s = g_streams.back().get();
  return g_error;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  const Lock lock(g_mutex);
  if (s->recording) return cudaErrorStreamCaptureUnsupported;
  if (g_error != cudaSuccess) return g_error;
  ++g_counts.waits;
  drain(s, s->pushed);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) {
  *e = new CUevent_st;
  return g_error;
}
cudaError_t cudaEventDestroy(cudaEvent_t e) {
  const Lock lock(g_mutex);
  if (e->stream) drain(e->stream, e->ticket);
  delete e;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  const Lock lock(g_mutex);
  if (s->recording) return cudaErrorStreamCaptureUnsupported;
  const cudaError_t status = emulated_gpu::enqueue(s, [e] { e->time = std::chrono::steady_clock::now(); });
  e->stream = s;
  e->ticket = s->pushed;
  return status;
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  const Lock lock(g_mutex);
  if (e->stream) drain(e->stream, e->ticket);
  return g_error;
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to) {
  *ms = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return g_error;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  const Lock lock(g_mutex);
  if (s->recording) return cudaErrorStreamCaptureUnsupported;
  if (!e->stream) return cudaSuccess;
  return emulated_gpu::enqueue(s, [stream = e->stream, ticket = e->ticket] { drain(stream, ticket); });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode) {
  const Lock lock(g_mutex);
  if (s->recording) return cudaErrorStreamCaptureUnsupported;
  s->recording = new CUgraph_st;
  return g_error;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* g) {
  const Lock lock(g_mutex);
  *g = s->recording;
  s->recording = nullptr;
  return g_error;
}
cudaError_t cudaGraphDestroy(cudaGraph_t g) {
  delete g;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* e, cudaGraph_t g, unsigned long long) {
  *e = new CUgraphExec_st{std::make_shared<std::vector<Task>>(g->tasks)};
  return g_error;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t e) {
  delete e;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t s) {
  ++g_counts.graphs;
  return emulated_gpu::enqueue(s, [tasks = e->tasks] {
    for (const Task& t : *tasks) t();
  });
}
