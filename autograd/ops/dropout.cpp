#include "autograd/ops/dropout.h"

#include <algorithm>

#include "autograd/ops/dropout_kernels.h"
#include "tensor/bfloat16.h"
#include "tensor/device.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {
void draw_naive(uint64_t seed, uint64_t step, uint32_t site, uint32_t threshold, int64_t begin, int64_t end,
    int64_t* mask) {
  for (int64_t w = begin; w < end; ++w) mask[w] = DropoutMask::word(seed, step, site, threshold, w);
}
}  // namespace

void DropoutMask::draw(const Tensor& rng, DropoutSite where, const Tensor& mask) {
  const uint64_t seed = uint64_t(rng.data<int64_t>()[0]), step = uint64_t(rng.data<int64_t>()[1]);
  const auto draw = kernels() == Kernels::naive ? draw_naive : ISA_PICK(draw_dropout);  // the same bits
  parallel_chunks(
      mask.numel(),
      [&](int64_t begin, int64_t end) {
        draw(seed, step, where.site, where.threshold(), begin, end, mask.data<int64_t>());
      },
      kChunk / 64);
}

Dropout::Dropout(DropoutSite where) : where_(where) {
  require(where.p >= 0 && where.p < 1, name(), "wants 0 <= p < 1, got p = ", where.p);
}

Shape Dropout::shape(const Shapes& x) const {
  require(x.size() == 2 && x[1] == Shape{2}, name(), "takes x and rng (2)");
  return x[0];
}

namespace {
// to_i = m_i from_i / (1 - p): forward and backward are the same map. One loop for all kernels.
template <class X>
void apply_mask(const X* from, const int64_t* mask, DropoutSite where, X* to, int64_t n, bool accumulate) {
  using T = Precise<X>;
  const T scale = T(where.scale());
  parallel_chunks(
      DropoutMask::words(n),
      [&](int64_t begin, int64_t end) {
        for (int64_t w = begin; w < end; ++w)
          for (int64_t i = w * 64; i < std::min(n, w * 64 + 64); ++i)
            store(to[i], DropoutMask::kept(mask, i) ? T(from[i]) * scale : T(0), accumulate);
      },
      kChunk / 64);
}
}  // namespace

void Dropout::forward_cpu(const Forward& p) const {
  DropoutMask::draw(p.x[1], where_, p.aux[0]);
  dispatch_data(p.y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    apply_mask(p.x[0].data<T>(), p.aux[0].data<int64_t>(), where_, p.y.data<T>(), p.y.numel(), false);
  });
}

void Dropout::backward_cpu(const Backward& p) const {
  if (!p.dx[0]) return;
  dispatch_data(p.dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    apply_mask(p.dy.data<T>(), p.aux[0].data<int64_t>(), where_, p.dx[0].t.data<T>(), p.dy.numel(),
        p.dx[0].accumulate);
  });
}

Var dropout(const Var& x, double p, const Var& rng, uint32_t site, Loc loc) {
  return x.tape().apply(std::make_shared<Dropout>(DropoutSite{p, site}), {x, rng}, loc);
}

}  // namespace patchcl
