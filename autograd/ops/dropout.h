// Dropout:  y_i = m_i x_i / (1 - p),  m_i = [bits_i >= p 2^32],   dL/dx_i = m_i dL/dy_i / (1 - p)
//
// bits_i = random_bits(seed, step, site, i) (tensor/random.h): the mask depends on nothing but where it is
// used, so it is the same on CPU and GPU, for any number of threads, and after a resume. x any shape, f32,
// f64 or bf16; rng i64 (2) = (seed, step); 0 <= p < 1. The mask is kept for backward, one bit an element:
// drawing it again costs more than a pass over x.
#pragma once
#include "autograd/tape.h"
#include "tensor/random.h"

namespace patchcl {

// What dropout needs to know: the probability and the place that draws.
struct DropoutSite {
  double p = 0;
  uint32_t site = 0;
  uint32_t threshold() const { return uint32_t(p * 4294967296.0); }
  double scale() const { return 1 / (1 - p); }  // of what is kept
};

// Bit i % 64 of word i / 64 says whether element i of n is kept; the last word is complete.
struct DropoutMask {
  static int64_t words(int64_t n) { return (n + 63) / 64; }
  static AuxSpec aux(int64_t n) { return {{words(n)}, DType::i64}; }
  HD static bool kept(const int64_t* mask, int64_t i) { return mask[i / 64] >> (i % 64) & 1; }
  HD static int64_t word(uint64_t seed, uint64_t step, uint32_t site, uint32_t threshold, int64_t w) {
    uint64_t kept = 0;
    for (int quad = 0; quad < 16; ++quad) {
      const Philox4 bits = random_quad(seed, step, site, uint64_t(w * 16 + quad));
      for (int i = 0; i < 4; ++i) kept |= uint64_t(bits.v[i] >= threshold) << (quad * 4 + i);
    }
    return int64_t(kept);
  }
  // Fill `mask`, shaped as aux() says, from `rng`; both on the CPU, or both on the GPU.
  static void draw(const Tensor& rng, DropoutSite where, const Tensor& mask);
  static void draw_cuda(const Tensor& rng, DropoutSite where, const Tensor& mask);
};

class Dropout final : public Op {
 public:
  explicit Dropout(DropoutSite where);
  const char* name() const override { return "dropout"; }
  Shape shape(const Shapes& x) const override;
  Saves saves() const override { return {}; }
  bool differentiable(size_t i) const override { return i == 0; }
  bool takes_bf16(size_t i) const override { return i == 0; }
  std::vector<AuxSpec> aux(const Shapes& x, DType) const override { return {DropoutMask::aux(x[0].numel())}; }

 protected:
  OP_CPU OP_CUDA

      private : DropoutSite where_;
};

Var dropout(const Var& x, double p, const Var& rng, uint32_t site, Loc loc = Loc::current());

}  // namespace patchcl
