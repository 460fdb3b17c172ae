// Per-class queues of teacher embeddings (METHODS 1.6) and their first two moments (METHODS 1.7).
//
//   mu_k = mean of the queue of class k,   Sigma_k = mean of (q - mu_k)(q - mu_k)^T   (biased)
// Sums of q and of q q^T follow every push and eviction in double, so the moments cost D^2 per embedding and
// do not depend on the queue's length. The sums are part of the saved state: a resumed run has the same bits.
#pragma once
#include <cstdint>
#include <vector>

#include "tensor/io.h"

namespace patchcl {

// Mean (D) and covariance (D,D) of one class.
struct Moments {
  std::vector<double> mean, covariance;
};

class EmbeddingQueue {
 public:
  EmbeddingQueue(int64_t classes, int64_t dimension, int64_t capacity);

  // Appends one embedding (D); the oldest of its class leaves when the queue is full.
  void push(int64_t k, const float* embedding);
  int64_t size(int64_t k) const { return queues_[size_t(k)].size; }
  int64_t classes() const { return int64_t(queues_.size()); }
  int64_t dimension() const { return dimension_; }
  // Embedding i of class k, 0 the newest.
  const float* newest(int64_t k, int64_t i) const;
  // Of a class with at least one embedding.
  Moments moments(int64_t k) const;

  void save(TensorFile& file) const;
  void load(const TensorFile& file);

 private:
  struct Ring {
    std::vector<float> items;        // capacity * D
    int64_t size = 0, next = 0;      // next: where the next embedding goes
    std::vector<double> sum, outer;  // sum of q (D), of q q^T (D,D), upper triangle
  };
  void add(Ring& ring, const float* q, double sign);

  int64_t dimension_, capacity_;
  std::vector<Ring> queues_;
};

}  // namespace patchcl
