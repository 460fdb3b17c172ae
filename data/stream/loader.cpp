#include "data/stream/loader.h"

#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>

#include "tensor/error.h"

namespace patchcl {

namespace {
// Streams of random numbers: one per purpose and place in the batch.
constexpr uint32_t kAugmentSite = 0xA00000, kStrongSite = 0xC00000;

// Memory of one batch, used again and again.
struct BatchMemory {
  std::shared_ptr<std::vector<float>> images, strong;
  std::shared_ptr<std::vector<uint8_t>> labels;
  Batch batch;
  int64_t ready = -1;  // number of the batch that lies here
  std::exception_ptr error;
};

template <class T>
Tensor tensor_on(const std::shared_ptr<std::vector<T>>& memory, const Shape& shape) {
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
    const int64_t n = sampler.batch_size(), s = options.augment.size, c = dataset.channels();
    slots.resize(size_t(options.ahead + 1));
    for (BatchMemory& slot : slots) {
      slot.images = std::make_shared<std::vector<float>>(size_t(n * s * s * c));
      slot.labels = std::make_shared<std::vector<uint8_t>>(size_t(n * s * s));
      slot.batch.images = tensor_on(slot.images, {n, s, s, c});
      slot.batch.labels = tensor_on(slot.labels, {n, s, s});
      slot.batch.labeled = sampler.labeled_batch();
      if (!options.strong) continue;
      slot.strong = std::make_shared<std::vector<float>>(slot.images->size());
      slot.batch.strong = tensor_on(slot.strong, {n, s, s, c});
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
    const int64_t pixels = options.augment.size * options.augment.size, channels = dataset.channels();
    slot.batch.ids.clear();
    for (size_t k = 0; k < items.size(); ++k) {
      const Slice s = dataset.item(items[k]);
      if (s.channels != channels)
        fail(ExitCode::data, "data", s.path, " has ", s.channels, " channels, the first training image has ",
            channels);
      float* image = slot.images->data() + int64_t(k) * pixels * channels;
      uint8_t* label = slot.labels->data() + int64_t(k) * pixels;
      if (!s.label) std::memset(label, 255, size_t(pixels));
      augment(s, options.augment, Rng(options.seed, uint64_t(iteration), kAugmentSite + uint32_t(k)), image,
          label);
      if (options.strong)
        strong_view(image, pixels, channels,
            Rng(options.seed, uint64_t(iteration), kStrongSite + uint32_t(k)),
            slot.strong->data() + int64_t(k) * pixels * channels);
      slot.batch.ids.push_back(s.id);
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
