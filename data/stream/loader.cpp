#include "data/stream/loader.h"

#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>

#include "data/stream/elastic.h"
#include "tensor/error.h"

namespace patchcl {

namespace {
// Streams of random numbers: one per purpose and place in the batch.
constexpr uint32_t kAugmentSite = 0xA00000, kStrongSite = 0xBF0000;

uint32_t stream(uint32_t site, size_t view, size_t image) {
  return site + uint32_t(view) * 0x10000 + uint32_t(image);
}

// Memory of one batch, used again and again.
struct BatchMemory {
  Batch batch;
  int64_t ready = -1;  // number of the batch that lies here
  std::exception_ptr error;
};

template <class T> Tensor host_tensor(const Shape& shape) {
  const auto memory = std::make_shared<std::vector<T>>(size_t(shape.numel()));
  return Tensor(memory, memory->data(), shape, DTypeOf<T>::value, Device::cpu);
}
}  // namespace

// Batch i lies in slot i % slots. Workers draw numbers in order and wait until i < taken_ + ahead; with ahead
// + 1 slots the batch that the consumer holds (taken_ - 1) is then never overwritten.
struct Loader::Impl {
  const Dataset& dataset;
  const Sampler sampler;
  const LoaderOptions options;
  std::vector<BatchMemory> slots;
  std::mutex mutex;
  std::condition_variable space, filled;
  int64_t next_to_fill, taken;
  bool stopping = false;
  std::vector<std::thread> workers;

  Impl(const Dataset& dataset, const Sampler& sampler, const LoaderOptions& options, int64_t first)
      : dataset(dataset), sampler(sampler), options(options), next_to_fill(first), taken(first) {
    const int64_t n = sampler.batch_size(), s = options.augment.side(), c = dataset.channels();
    slots.resize(size_t(options.ahead + 1));
    for (BatchMemory& slot : slots) {
      slot.batch.labeled = sampler.labeled_batch();
      for (size_t v = 0; v < options.views.size(); ++v)
        slot.batch.views.push_back({host_tensor<float>({n, s, s, c}),
            has_own_labels(options.views, v) ? host_tensor<uint8_t>({n, s, s}) : slot.batch.labels()});
    }
    for (int w = 0; w < options.workers; ++w) workers.emplace_back([this] { work(); });
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    space.notify_all();
    for (std::thread& t : workers) t.join();
  }

  BatchMemory& slot_of(int64_t i) { return slots[size_t(i % int64_t(slots.size()))]; }

  void work() {
    for (;;) {
      int64_t i;
      {
        std::unique_lock lock(mutex);
        space.wait(lock, [&] { return stopping || next_to_fill < taken + options.ahead; });
        if (stopping) return;
        i = next_to_fill++;
      }
      BatchMemory& slot = slot_of(i);
      slot.error = nullptr;
      try {
        prepare(i, slot);
      } catch (...) {
        slot.error = std::current_exception();
      }
      {
        const std::lock_guard lock(mutex);
        slot.ready = i;
      }
      filled.notify_all();
    }
  }

  void prepare(int64_t iteration, BatchMemory& slot) {
    const std::vector<int64_t> items = sampler.batch(iteration);
    slot.batch.ids.clear();
    for (size_t k = 0; k < items.size(); ++k) {
      Slice s = dataset.item(items[k]);
      if (int64_t(k) >= sampler.labeled_batch()) s.label = nullptr;
      if (s.channels != dataset.channels())
        fail(ExitCode::data, "data", s.path, " has ", s.channels, " channel(s), ", dataset.item(0).path,
            " has ", dataset.channels(),
            "; save all images with the same, `patchcl data check` names the odd ones");
      for (size_t v = 0; v < options.views.size(); ++v) show(s, iteration, v, k, slot.batch);
      slot.batch.ids.push_back(s.id);
    }
  }

  // Image k of the batch as its view v.
  void show(const Slice& s, int64_t iteration, size_t v, size_t k, const Batch& batch) const {
    const ViewKind& kind = options.views[v];
    const int64_t side = options.augment.side(), pixels = side * side, channels = dataset.channels();
    const auto image_of = [&](size_t view) {
      return batch.views[view].images.data<float>() + int64_t(k) * pixels * channels;
    };
    const auto rng = [&](uint32_t site, size_t view) {
      return Rng(options.seed, uint64_t(iteration), stream(site, view, k));
    };
    float* const image = image_of(v);
    const bool draws_geometry = has_own_labels(options.views, v);
    if (draws_geometry) {
      uint8_t* const label = batch.views[v].labels.data<uint8_t>() + int64_t(k) * pixels;
      if (!s.label) std::memset(label, 255, size_t(pixels));
      augment(s, options.augment, rng(kAugmentSite, v), image, label);
    }
    const float* const shown = draws_geometry ? image : image_of(0);
    const Rng draws = rng(kStrongSite, v);
    switch (kind.look) {
      case Look::plain:
        if (!draws_geometry) std::copy_n(shown, pixels * channels, image);
        return;
      case Look::jittered: return strong_view(shown, pixels, channels, draws, image);
      case Look::recoloured: return recolour(shown, pixels * channels, draws, image);
      case Look::eight_bits: return eight_bit_view(shown, pixels * channels, image);
      case Look::blurred: return blurred_view(shown, side, side, channels, kind.blur, draws, image);
    }
  }

  Batch next() {
    std::unique_lock lock(mutex);
    BatchMemory& slot = slot_of(taken);
    filled.wait(lock, [&] { return slot.ready == taken; });
    ++taken;
    space.notify_all();
    if (slot.error) std::rethrow_exception(slot.error);
    return slot.batch;
  }
};

Loader::Loader(const Dataset& dataset, const Sampler& sampler, const LoaderOptions& options, int64_t first)
    : impl_(std::make_unique<Impl>(dataset, sampler, options, first)) {}
Loader::~Loader() = default;

Batch Loader::next() { return impl_->next(); }

}  // namespace patchcl
