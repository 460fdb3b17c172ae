#include "autograd/ops/norm_act_channel_kernels.h"
#include "tensor/cuda_runtime.cuh"

namespace patchcl {

using namespace norm_act;

namespace {

// A block covers a chunk of rows and 32 channels (16 where there are no more): neighbouring threads read
// neighbouring channels, and a thread keeps to one channel.
struct ChunkLayout {
  int64_t rows, channels, chunk;
  int width;
  ChunkLayout(int64_t r, int64_t c)
      : rows(r), channels(c), chunk(NormScratch::chunk_rows(r, c)), width(c <= 16 ? 16 : 32) {}
  int64_t chunks() const { return NormScratch::chunks(rows, channels); }
  dim3 blocks() const { return dim3(unsigned(chunks()), unsigned((channels + width - 1) / width)); }

  // fn(e, c) for the elements of this thread.
  template <class F> __device__ void for_mine(F&& fn) const {
    const int64_t c = int64_t(blockIdx.y) * width + threadIdx.x % width;
    const int64_t begin = int64_t(blockIdx.x) * chunk, end = begin + chunk < rows ? begin + chunk : rows;
    if (c < channels)
      for (int64_t r = begin + threadIdx.x / width; r < end; r += cuda::kThreads / width)
        fn(r * channels + c, c);
  }
};

template <class F> __global__ void each_kernel(ChunkLayout layout, F f) { layout.for_mine(f); }

struct PairOfSums {
  double first, second;
};

// partials[chunk] = the sums of term(e, c) over the chunk, by a fixed tree.
template <class Term> __global__ void partial_kernel(ChunkLayout layout, double* partials, Term term) {
  __shared__ PairOfSums s[cuda::kThreads];
  PairOfSums sum{0, 0};
  layout.for_mine([&](int64_t e, int64_t c) {
    const PairOfSums t = term(e, c);
    sum.first += t.first;
    sum.second += t.second;
  });
  const int t = int(threadIdx.x);
  s[t] = sum;
  for (int half = cuda::kThreads / 2; half >= layout.width; half /= 2) {
    __syncthreads();
    if (t < half) {
      s[t].first += s[t + half].first;
      s[t].second += s[t + half].second;
    }
  }
  const int64_t c = int64_t(blockIdx.y) * layout.width + t;
  if (t >= layout.width || c >= layout.channels) return;
  double* to = partials + int64_t(blockIdx.x) * 2 * layout.channels + c;
  to[0] = s[t].first;
  to[layout.channels] = s[t].second;
}

// finish(c, first, second) for each channel, the partial sums added up.
template <class Finish> struct ChannelTotal {
  const double* partials;
  int64_t chunks, channels;
  Finish finish;
  template <int kLanes> __device__ void operator()(int64_t c, cuda::Lanes<kLanes> lanes) const {
    const double first = lanes.total(chunks, [&](int64_t k) { return partials[2 * k * channels + c]; });
    const double second =
        lanes.total(chunks, [&](int64_t k) { return partials[(2 * k + 1) * channels + c]; });
    if (lanes.lane == 0) finish(c, first, second);
  }
};

template <class Term, class Finish>
void reduce(const ChunkLayout& layout, double* partials, Term term, Finish finish) {
  cuda::launch(cuda::Caller::current(), partial_kernel<Term>, layout.blocks(), layout, partials, term);
  cuda::for_each_row(layout.channels, layout.chunks(),
      ChannelTotal<Finish>{partials, layout.chunks(), layout.channels, finish});
}

template <class F> void for_each_element(const ChunkLayout& layout, F f) {
  cuda::launch(cuda::Caller::current(), each_kernel<F>, layout.blocks(), layout, f);
}

template <class X> void launch_forward(const Forward& p, const NormAct::Config& config) {
  using T = Precise<X>;
  const NormMap<X, T> m = map_of<X>(p, config);
  const NormStatistics<T> channel(p, config);
  const ChunkLayout layout(m.rows, m.channels);
  if (config.training) {
    const double rows = double(m.rows);
    // About the first row's values, in double: a mean far larger than the deviations then costs no digits.
    reduce(
        layout, NormScratch(p.workspace, m.channels).partials,
        [=] __device__(int64_t e, int64_t c) {
          const double d = double(m.x[e]) - double(m.x[c]);
          return PairOfSums{d, d * d};
        },
        [=] __device__(int64_t c, double sum, double squares) {
          channel.from_batch(c, double(m.x[c]) + sum / rows, squares - sum * sum / rows);
        });
  } else {
    cuda::for_each(m.channels, [=] __device__(int64_t c) { channel.from_running(c); });
  }
  X* y = p.y.data<X>();
  for_each_element(layout, [=] __device__(int64_t e, int64_t c) { y[e] = X(m.y(e, c)); });
}

template <class X> void launch_backward(const Backward& p, const NormAct::Config& config) {
  using T = Precise<X>;
  const NormMap<X, T> m = map_of<X>(p, config);
  const NormScratch scratch(p.workspace, m.channels);
  const NormGradients<T> channel(p, config, reinterpret_cast<T*>(scratch.total));
  const ChunkLayout layout(m.rows, m.channels);
  const X* dy = p.dy.data<X>();
  reduce(
      layout, scratch.partials,
      [=] __device__(int64_t e, int64_t c) {
        const double dz = double(m.dz(e, c, T(dy[e])));
        return PairOfSums{dz, dz * double(m.xhat(e, c))};
      },
      [=] __device__(int64_t c, double dz, double dz_xhat) { channel.finish(c, dz, dz_xhat); });
  if (!p.dx[kX]) return;
  X* dx = p.dx[kX].t.data<X>();
  const bool accumulate = p.dx[kX].accumulate;
  for_each_element(layout, [=] __device__(int64_t e, int64_t c) {
    store(dx[e], m.dx(e, c, T(dy[e]), channel.mean_dz[c], channel.mean_dz_xhat[c]), accumulate);
  });
}

}  // namespace

void NormAct::forward_cuda(const Forward& p) const {
  if (config_.dropout.p > 0) DropoutMask::draw_cuda(p.x[kRng], config_.dropout, p.aux[kMask]);
  dispatch_data(p.y.dtype(), [&](auto zero) { launch_forward<decltype(zero)>(p, config_); });
}

void NormAct::backward_cuda(const Backward& p) const {
  dispatch_data(p.dy.dtype(), [&](auto zero) { launch_backward<decltype(zero)>(p, config_); });
}

}  // namespace patchcl
