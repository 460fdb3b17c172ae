// Threads without surprises: work is cut by shape alone, never by the number of threads, so that one and many
// threads add the same numbers in the same order and agree bit for bit.
// The team is our own because a machine is seldom ours alone: a thread that is not scheduled holds nobody up,
// since others take its share, and who waits gives the core away after some microseconds.
#pragma once
#include <cstdint>
#include <memory>
#include <type_traits>

namespace patchcl {

// Threads that every kernel uses, the caller's among them. OMP_NUM_THREADS, else the cores that this process
// may use.
int threads();
void set_threads(int n);

// Within parallel_for, a number below threads() that no other thread of the same call has: says which scratch
// memory is free.
int thread_index();

// body(context, i) for i in [0, n).
void run_parallel(int64_t n, void (*body)(void* context, int64_t i), void* context);

// fn(i) for i in [0, n), each i on some thread. Iterations must write to disjoint memory. The first exception
// is rethrown on the calling thread. Within fn it runs on that thread alone.
template <class F> void parallel_for(int64_t n, F&& fn) {
  using Fn = std::remove_reference_t<F>;
  run_parallel(
      n, [](void* f, int64_t i) { (*static_cast<Fn*>(f))(i); },
      const_cast<std::remove_const_t<Fn>*>(std::addressof(fn)));
}

// Elements per chunk of element-wise loops and first-level sums.
constexpr int64_t kChunk = 16384;
inline int64_t chunks(int64_t n, int64_t chunk = kChunk) { return (n + chunk - 1) / chunk; }

// fn(begin, end) over [0, n) in chunks of fixed size.
template <class F> void parallel_chunks(int64_t n, F&& fn, int64_t chunk = kChunk) {
  parallel_for(
      chunks(n, chunk), [&](int64_t c) { fn(c * chunk, c * chunk + chunk < n ? c * chunk + chunk : n); });
}

// Reductions over [0, n) have at most this many partial sums, so that they fit on the stack; each covers
// reduce_chunk(n) elements.
constexpr int64_t kMaxPartials = 64;
inline int64_t reduce_chunk(int64_t n) {
  return chunks(n, kMaxPartials) > kChunk ? chunks(n, kMaxPartials) : kChunk;
}

// Sum of partial(begin, end) over the chunks of [0, n), added in order.
template <class Acc, class F> Acc chunked_reduce(int64_t n, F&& partial) {
  Acc sums[kMaxPartials] = {};
  const int64_t chunk = reduce_chunk(n);
  parallel_chunks(
      n, [&](int64_t begin, int64_t end) { sums[begin / chunk] = partial(begin, end); }, chunk);
  Acc total = 0;
  for (int64_t c = 0; c < chunks(n, chunk); ++c) total += sums[c];
  return total;
}

// Sum of term(i) over [0, n): each chunk in order, then the chunks in order. Acc is the type of the running
// sums.
template <class Acc, class F> Acc chunked_sum(int64_t n, F&& term) {
  return chunked_reduce<Acc>(n, [&](int64_t begin, int64_t end) {
    Acc s = 0;
    for (int64_t i = begin; i < end; ++i) s += Acc(term(i));
    return s;
  });
}

}  // namespace patchcl
