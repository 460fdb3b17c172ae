#include "tensor/arena.h"

#include <cstdlib>
#include <vector>

#include "tensor/device.h"

namespace patchcl {

namespace {
constexpr size_t kAlign = 256;
constexpr size_t kSegment = size_t(64) << 20;
size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

bool separate_tensors() {
  static const bool on = std::getenv("PATCHCL_SEPARATE_TENSORS") != nullptr;
  return on;
}

// On the CPU from malloc, because a checker knows its blocks.
Tensor separate_tensor(const Shape& shape, DType dtype, Device device, size_t bytes) {
  void* p = nullptr;
  if (device == Device::cuda) p = device_alloc(device, bytes);
  else if (posix_memalign(&p, kAlign, bytes))
    fail(ExitCode::device, "memory", "the system refused ", bytes, " bytes");
  const auto give_back = [device, bytes](void* q) {
    device == Device::cuda ? device_free(device, q, bytes) : std::free(q);
  };
  return Tensor(std::shared_ptr<void>(p, give_back), p, shape, dtype, device);
}
}  // namespace

struct Arena::Impl {
  std::string name;
  Device device;
  bool plan_only;
  struct Segment {
    char* base;
    size_t size;
  };
  std::vector<Segment> segments;
  using Blocks = std::map<char*, size_t>;
  Blocks free_blocks;  // by address
  // One for each block in use: giving it back, which destructors do, takes no memory.
  std::vector<Blocks::node_type> spares;
  Stats stats;

  ~Impl() {
    if (!plan_only)
      for (const Segment& s : segments) device_free(device, s.base, s.size);
  }

  void add_segment(size_t size) {
    size = round_up(size, size_t(2) << 20);
    char* base;
    if (plan_only) {
      // Distinct, aligned, never dereferenced. A gap keeps segments from merging.
      base =
          reinterpret_cast<char*>((size_t(1) << 40) + stats.reserved * 2 + (stats.segments + 1) * kSegment);
    } else {
      try {
        base = static_cast<char*>(device_alloc(device, size));
      } catch (const Error& e) {
        fail(e.code(), "memory", "arena '", name, "' holds ", stats.reserved >> 20, " MiB and needs ",
            size >> 20, " MiB more: ", e.what());
      }
    }
    segments.push_back({base, size});
    stats.reserved += size;
    ++stats.segments;
    free_blocks[base] = size;
  }

  Blocks::iterator best_fit(size_t size) {
    auto best = free_blocks.end();
    for (auto it = free_blocks.begin(); it != free_blocks.end(); ++it)
      if (it->second >= size && (best == free_blocks.end() || it->second < best->second)) best = it;
    return best;
  }

  char* take(size_t size) {
    auto block = best_fit(size);
    if (block == free_blocks.end()) {
      add_segment(size > kSegment ? size : kSegment);
      block = best_fit(size);
    }
    char* p = block->first;
    const size_t rest = block->second - size;
    if (spares.size() == spares.capacity()) spares.reserve(2 * spares.size() + 64);
    if (rest) free_blocks[p + size] = rest;
    spares.push_back(free_blocks.extract(block));
    stats.live += size;
    if (stats.live > stats.peak) stats.peak = stats.live;
    return p;
  }

  const Segment& segment_of(const char* p) const {
    for (const Segment& s : segments)
      if (p >= s.base && p < s.base + s.size) return s;
    fail(ExitCode::internal, "memory", "arena '", name, "' was given back memory that is not its own");
  }

  void give_back(char* p, size_t size) {
    stats.live -= size;
    const Segment& s = segment_of(p);
    auto next = free_blocks.lower_bound(p);
    if (next != free_blocks.end() && next->first == p + size && next->first < s.base + s.size) {
      size += next->second;
      next = free_blocks.erase(next);
    }
    Blocks::node_type node = std::move(spares.back());
    spares.pop_back();
    if (next != free_blocks.begin()) {
      auto previous = std::prev(next);
      if (previous->first >= s.base && previous->first + previous->second == p) {
        previous->second += size;
        return;
      }
    }
    node.key() = p;
    node.mapped() = size;
    free_blocks.insert(std::move(node));
  }
};

Arena::Arena(std::string name, Device device) : impl_(std::make_shared<Impl>()) {
  impl_->name = std::move(name);
  impl_->device = device;
  impl_->plan_only = false;
}

Arena Arena::plan(std::string name, Device device) {
  Arena a(std::move(name), device);
  a.impl_->plan_only = true;
  return a;
}

Tensor Arena::empty(const Shape& shape, DType dtype) const {
  const auto wanted = shape.checked_bytes(dtype);
  if (!wanted)
    fail(ExitCode::device, "memory", "arena '", impl_->name, "': no machine holds a tensor of shape ", shape);
  const size_t bytes = *wanted;
  if (separate_tensors() && !impl_->plan_only)
    return separate_tensor(shape, dtype, impl_->device, bytes ? bytes : 1);
  const size_t size = round_up(bytes ? bytes : 1, kAlign);
  char* p = impl_->take(size);
  std::shared_ptr<void> owner(
      p, [impl = impl_, size](void* q) { impl->give_back(static_cast<char*>(q), size); });
  return Tensor(std::move(owner), p, shape, dtype, impl_->device);
}

Tensor Arena::zeros(const Shape& shape, DType dtype) const {
  Tensor t = empty(shape, dtype);
  if (!impl_->plan_only) fill_zero(t);
  return t;
}

void Arena::reserve(size_t bytes) const {
  if (impl_->best_fit(bytes) == impl_->free_blocks.end()) impl_->add_segment(bytes);
}

Arena::Stats Arena::stats() const { return impl_->stats; }
Device Arena::device() const { return impl_->device; }
const std::string& Arena::name() const { return impl_->name; }
bool Arena::is_plan() const { return impl_->plan_only; }

}  // namespace patchcl
