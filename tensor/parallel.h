// Threads without surprises: work is cut by shape alone, never by the number of threads, so that one and many
// threads add the same numbers in the same order and agree bit for bit.
#pragma once
#include <omp.h>

#include <cstdint>
#include <exception>

namespace patchcl {

// fn(i) for i in [0, n), each i on some thread. Iterations must write to disjoint memory. The first exception
// is rethrown on the calling thread.
template <class F> void parallel_for(int64_t n, F&& fn) {
  if (n <= 0) return;
  if (n == 1 || omp_get_max_threads() == 1 || omp_in_parallel()) {
    for (int64_t i = 0; i < n; ++i) fn(i);
    return;
  }
  std::exception_ptr error;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < n; ++i) {
    try {
      fn(i);
    } catch (...) {
#pragma omp critical(patchcl_parallel_error)
      if (!error) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

// Elements per chunk of element-wise loops and first-level sums.
constexpr int64_t kChunk = 16384;
inline int64_t chunks(int64_t n, int64_t chunk = kChunk) { return (n + chunk - 1) / chunk; }

// fn(begin, end) over [0, n) in chunks of fixed size.
template <class F> void parallel_chunks(int64_t n, F&& fn, int64_t chunk = kChunk) {
  parallel_for(chunks(n, chunk), [&](int64_t c) { fn(c * chunk, c * chunk + chunk < n ? c * chunk + chunk : n); });
}

// Reductions over [0, n) have at most this many partial sums, so that they fit on the stack; each covers
// reduce_chunk(n) elements.
constexpr int64_t kMaxPartials = 64;
inline int64_t reduce_chunk(int64_t n) { return chunks(n, kMaxPartials) > kChunk ? chunks(n, kMaxPartials) : kChunk; }

// Sum of partial(begin, end) over the chunks of [0, n), added in order.
template <class Acc, class F> Acc chunked_reduce(int64_t n, F&& partial) {
  Acc sums[kMaxPartials] = {};
  const int64_t chunk = reduce_chunk(n);
  parallel_chunks(n, [&](int64_t begin, int64_t end) { sums[begin / chunk] = partial(begin, end); }, chunk);
  Acc total = 0;
  for (int64_t c = 0; c < chunks(n, chunk); ++c) total += sums[c];
  return total;
}

// Sum of term(i) over [0, n): each chunk in order, then the chunks in order. Acc is the type of the running sums.
template <class Acc, class F> Acc chunked_sum(int64_t n, F&& term) {
  return chunked_reduce<Acc>(n, [&](int64_t begin, int64_t end) {
    Acc s = 0;
    for (int64_t i = begin; i < end; ++i) s += Acc(term(i));
    return s;
  });
}

}  // namespace patchcl
