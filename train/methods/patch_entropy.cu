#include "train/methods/patch_entropy.h"
#include "tensor/cuda_runtime.cuh"
#include "tensor/device.h"

namespace patchcl {

namespace {

// One window of one class per row; the lanes share its pixels. Sums in double, so the order costs no digits
// that a float shows.
struct WindowRow {
  PatchImages b;
  WindowGrid grid;
  EntropyOf of;
  float *entropy, *confidence;
  template <int kLanes> __device__ void operator()(int64_t row, cuda::Lanes<kLanes> lanes) const {
    const int64_t windows = grid.rows * grid.cols, w = row % windows, k = row / windows % b.classes,
                  image = row / windows / b.classes;
    const int64_t corner = (image * b.height + grid.top(w)) * b.width + grid.left(w),
                  area = grid.side * grid.side;
    double h = 0, c = 0;
    for (int64_t i = lanes.lane; i < area; i += kLanes) {
      const int64_t m = corner + i / grid.side * b.width + i % grid.side;
      h += double(pixel_entropy(b, m, k, of));
      c += double(b.confidence[m * b.classes + k]);
    }
    h = lanes.sum(h);
    c = lanes.sum(c);
    if (lanes.lane != 0) return;
    entropy[row] = float(h / double(area));
    confidence[row] = float(c / double(area));
  }
};

}  // namespace

void one_hot_cuda(const Tensor& labels, const Tensor& confidence) {
  const int64_t K = confidence.shape()[-1];
  const uint8_t* y = labels.data<uint8_t>();
  float* c = confidence.data<float>();
  cuda::for_each(confidence.numel(), [=] __device__(int64_t e) { c[e] = y[e / K] == e % K; });
}

void window_statistics_cuda(
    const PatchImages& b, const WindowGrid& grid, EntropyOf of, WindowStatistics& to) {
  const int64_t rows = int64_t(to.entropy.size());
  const Tensor means = b.gpu->empty({2, rows}, DType::f32);
  float *entropy = means.data<float>(), *confidence = entropy + rows;
  cuda::for_each_row(rows, grid.side * grid.side, WindowRow{b, grid, of, entropy, confidence});
  std::vector<float> both(size_t(2 * rows));  // one copy, because each waits for the GPU
  copy_bytes(both.data(), Device::cpu, entropy, Device::cuda, means.bytes());
  to.entropy.assign(both.begin(), both.begin() + rows);
  to.confidence.assign(both.begin() + rows, both.end());
}

}  // namespace patchcl
