#include "losses/embedding_queue.h"

#include <algorithm>

#include "tensor/state.h"

namespace patchcl {

EmbeddingQueue::EmbeddingQueue(int64_t classes, int64_t dimension, int64_t capacity)
    : dimension_(dimension), capacity_(capacity), queues_(size_t(classes)) {
  if (capacity < 1) fail(ExitCode::usage, "queue", "capacity ", capacity, " must be at least 1");
  for (Ring& r : queues_) {
    r.items.resize(size_t(capacity * dimension));
    r.sum.resize(size_t(dimension));
    r.outer.resize(size_t(dimension * dimension));
  }
}

void EmbeddingQueue::add(Ring& r, const float* q, double sign) {
  for (int64_t i = 0; i < dimension_; ++i) {
    const double qi = sign * double(q[i]);
    r.sum[size_t(i)] += qi;
    double* row = &r.outer[size_t(i * dimension_)];
    for (int64_t j = i; j < dimension_; ++j) row[j] += qi * double(q[j]);
  }
}

void EmbeddingQueue::push(int64_t k, const float* embedding) {
  Ring& r = queues_[size_t(k)];
  float* slot = &r.items[size_t(r.next * dimension_)];
  if (r.size == capacity_) add(r, slot, -1);
  else ++r.size;
  std::copy(embedding, embedding + dimension_, slot);
  add(r, slot, 1);
  r.next = (r.next + 1) % capacity_;
}

const float* EmbeddingQueue::newest(int64_t k, int64_t i) const {
  const Ring& r = queues_[size_t(k)];
  return &r.items[size_t((r.next - 1 - i + capacity_) % capacity_ * dimension_)];
}

Moments EmbeddingQueue::moments(int64_t k) const {
  const Ring& r = queues_[size_t(k)];
  const int64_t D = dimension_;
  const double n = double(std::max<int64_t>(r.size, 1));
  Moments m{std::vector<double>(size_t(D)), std::vector<double>(size_t(D * D))};
  for (int64_t i = 0; i < D; ++i) m.mean[size_t(i)] = r.sum[size_t(i)] / n;  // EQ: 1.7 mu
  for (int64_t i = 0; i < D; ++i)
    for (int64_t j = i; j < D; ++j)
      m.covariance[size_t(i * D + j)] = m.covariance[size_t(j * D + i)] =
          r.outer[size_t(i * D + j)] / n - m.mean[size_t(i)] * m.mean[size_t(j)];  // EQ: 1.7 Sigma
  return m;
}

void EmbeddingQueue::save(TensorFile& file) const {
  for (size_t k = 0; k < queues_.size(); ++k) {
    const std::string name = "queue." + std::to_string(k) + ".";
    put(file, name + "items", queues_[k].items);
    put(file, name + "position", std::vector<int64_t>{queues_[k].size, queues_[k].next});
    put(file, name + "sum", queues_[k].sum);
    put(file, name + "outer", queues_[k].outer);
  }
}

void EmbeddingQueue::load(const TensorFile& file) {
  for (size_t k = 0; k < queues_.size(); ++k) {
    const std::string name = "queue." + std::to_string(k) + ".";
    Ring& r = queues_[k];
    r.items = get<float>(file, name + "items", int64_t(r.items.size()));
    r.sum = get<double>(file, name + "sum", int64_t(r.sum.size()));
    r.outer = get<double>(file, name + "outer", int64_t(r.outer.size()));
    const std::vector<int64_t> position = get<int64_t>(file, name + "position", 2);
    const auto [size, next] = std::pair(position[0], position[1]);
    if (size < 0 || size > capacity_ || next < 0 || next >= capacity_)
      fail(ExitCode::checkpoint, "queue", "'", name, "position' is (", size, ",", next, ") for a queue of ",
          capacity_);
    r.size = size;
    r.next = next;
  }
}

}  // namespace patchcl
