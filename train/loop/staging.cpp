#include "train/loop/staging.h"

#include <cstring>

#include "tensor/parallel.h"

namespace patchcl {

namespace {
constexpr size_t kAlignment = 256;
size_t room(const Tensor& t) { return t ? (t.bytes() + kAlignment - 1) / kAlignment * kAlignment : 0; }

void copy_fast(char* to, const char* from, size_t bytes) {
  parallel_chunks(
      int64_t(bytes),
      [&](int64_t begin, int64_t end) { std::memcpy(to + begin, from + begin, size_t(end - begin)); },
      1 << 20);
}
}  // namespace

Batch Staging::operator()(const Batch& host) {
  if (slots_[current_].upload) slots_[current_].upload->release();  // the step that read it is on the stream
  current_ ^= 1;
  Slot& slot = slots_[current_];
  size_t bytes = 0, at = 0;
  transformed(host, [&](const Tensor& t) {
    bytes += room(t);
    return t;
  });
  if (!slot.upload) {
    slot.upload = std::make_unique<cuda::Upload>(bytes);
    slot.memory = arena_.empty({int64_t(bytes)}, DType::u8);
  }
  require(slot.memory.bytes() == bytes, "staging", "a batch of ", bytes, " bytes after one of ",
      slot.memory.bytes());
  char* const pinned = static_cast<char*>(slot.upload->fill());
  const Batch there = transformed(host, [&](const Tensor& t) {
    copy_fast(pinned + at, static_cast<const char*>(t.raw()), t.bytes());
    const Tensor placed(std::make_shared<Tensor>(slot.memory), static_cast<char*>(slot.memory.raw()) + at,
        t.shape(), t.dtype(), Device::cuda);
    at += room(t);
    return placed;
  });
  slot.upload->send(slot.memory.raw(), bytes);
  return there;
}

}  // namespace patchcl
