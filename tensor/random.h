// Random numbers that are a function of where they are used, not of when: Philox4x32-10.
//
// Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A counter of four
// 32-bit words is mixed with a key of two by ten rounds of multiply-and-xor; consecutive counters give
// independent-looking words. The counter here says (element / 4, stream, step), so a dropout mask is the same
// on CPU and GPU, for any number of threads, and after a resume: there is no state to lose but the step.
#pragma once
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "tensor/hd.h"

namespace patchcl {

struct Philox4 {
  uint32_t v[4];
};

HD inline Philox4 philox(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
  uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t(0xD2511F53u) * c0, b = uint64_t(0xCD9E8D57u) * c2;
    const uint32_t n0 = uint32_t(b >> 32) ^ c1 ^ k0, n2 = uint32_t(a >> 32) ^ c3 ^ k1;
    c1 = uint32_t(b);
    c3 = uint32_t(a);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// Elements 4 quad .. 4 quad + 3 of stream `site` at `step`. Sites number the places that draw (layer,
// purpose).
HD inline Philox4 random_quad(uint64_t seed, uint64_t step, uint32_t site, uint64_t quad) {
  return philox(
      seed, uint32_t(quad), uint32_t(quad >> 32) ^ (site << 8), uint32_t(step), uint32_t(step >> 32));
}
// The 32 random bits of element i.
HD inline uint32_t random_bits(uint64_t seed, uint64_t step, uint32_t site, uint64_t i) {
  return random_quad(seed, step, site, i >> 2).v[i & 3];
}

// Uniform in (0,1): never 0, never 1, so that its logarithm is finite.
HD inline double to_unit(uint32_t bits) { return (double(bits) + 0.5) * (1.0 / 4294967296.0); }

// Standard normal from draws n and n + 1 of a stream: Box-Muller, one of the pair.
HD inline double random_normal(uint64_t seed, uint64_t step, uint32_t site, uint64_t n) {
  const double r = ::sqrt(-2 * ::log(to_unit(random_bits(seed, step, site, n))));
  return r * ::cos(6.283185307179586 * to_unit(random_bits(seed, step, site, n + 1)));
}

// A sequence for host code that draws as it goes (augmentation, sampling, initialisation): the n-th draw of
// stream `site` at `step`. Two generators with equal (seed, step, site) give the same sequence.
class Rng {
 public:
  Rng(uint64_t seed, uint64_t step = 0, uint32_t site = 0) : seed_(seed), step_(step), site_(site) {}
  uint32_t bits() { return random_bits(seed_, step_, site_, n_++); }
  double uniform() { return to_unit(bits()); }
  double uniform(double lo, double hi) { return lo + (hi - lo) * uniform(); }
  // Integer in [0, n), n < 2^32; Lemire's multiply-shift, bias below 2^-32 * n.
  int64_t below(int64_t n) { return int64_t((uint64_t(bits()) * uint64_t(n)) >> 32); }
  double normal() {
    n_ += 2;
    return random_normal(seed_, step_, site_, n_ - 2);
  }
  // Passes over `count` draws; the first of them is random_bits(seed, step, site, returned number).
  uint64_t skip(uint64_t count) {
    n_ += count;
    return n_ - count;
  }
  uint64_t seed() const { return seed_; }
  uint64_t step() const { return step_; }
  uint32_t site() const { return site_; }

 private:
  uint64_t seed_, step_, n_ = 0;
  uint32_t site_;
};

// 0 .. n - 1 in a random order: Fisher-Yates.
inline std::vector<int64_t> shuffled(int64_t n, Rng& rng) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = n - 1; i > 0; --i) std::swap(order[size_t(i)], order[size_t(rng.below(i + 1))]);
  return order;
}

}  // namespace patchcl
