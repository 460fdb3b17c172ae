#include "train/evaluate/inference.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/softmax.h"
#include "data/resize.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

// i reflected into [0, n) about the first and the last sample, as often as it takes.
int64_t mirrored(int64_t i, int64_t n) {
  if (n == 1) return 0;
  i %= 2 * (n - 1);
  return i < n ? i : 2 * (n - 1) - i;
}

// `index` continued by reflection to `length` entries.
std::vector<int64_t> continued(std::vector<int64_t> index, int64_t length) {
  const int64_t n = int64_t(index.size());
  for (int64_t i = n; i < length; ++i) index.push_back(index[mirrored(i, n)]);
  return index;
}

// [begin, end) as indices.
std::vector<int64_t> range(int64_t begin, int64_t end) {
  std::vector<int64_t> index;
  for (int64_t i = begin; i < end; ++i) index.push_back(i);
  return index;
}

// One input of the network: which pixel of which slice each of its pixels shows.
struct Window {
  int64_t slice;
  std::vector<int64_t> rows, columns;
};

// A network with its weights, and where its activations go.
class InferenceNetwork {
 public:
  InferenceNetwork(const UNet& unet, const ParamStore& weights, const Arena& arena)
      : unet_(unet), weights_(weights), arena_(arena) {}

  int64_t classes() const { return unet_.config().classes; }
  // The smallest admissible side that holds n.
  int64_t admissible(int64_t n) const {
    const int64_t m = unet_.size_multiple();
    return (n + m - 1) / m * m;
  }

  // Class probabilities (n,h,w,K), on the host, of n windows of equal size.
  Tensor probabilities(const Volume& v, const Window* windows, int64_t n) const {
    const int64_t h = int64_t(windows[0].rows.size()), w = int64_t(windows[0].columns.size());
    const Tensor host = host_.empty({n, h, w, v.channels}, weights_.dtype());
    dispatch(host.dtype(), [&](auto zero) {
      using T = decltype(zero);
      parallel_for(n, [&](int64_t i) { gather(v, windows[i], host.data<T>() + i * h * w * v.channels); });
    });
    const Tensor x = arena_.empty(host.shape(), host.dtype());
    copy(host, x);
    Tape tape(arena_, {.grad = false});
    Pass pass(tape, weights_, /*training=*/false);
    const Var p = softmax(unet_.forward(pass, tape.constant(x, "images")).logits);
    const Tensor result = host_.empty(p.shape(), p.dtype());
    copy(p.value(), result);
    return result;
  }

 private:
  template <class T> static void gather(const Volume& v, const Window& window, T* out) {
    const float* slice = v.image.data() + window.slice * v.slice_pixels() * v.channels;
    for (const int64_t r : window.rows)
      for (const int64_t c : window.columns)
        for (int64_t k = 0; k < v.channels; ++k) *out++ = T(slice[(r * v.width + c) * v.channels + k]);
  }

  const UNet& unet_;
  const ParamStore& weights_;
  const Arena& arena_;
  const Arena host_{"inference, host"};
};

// The first of the largest of k numbers.
template <class T> uint8_t argmax(const T* p, int64_t k) { return uint8_t(std::max_element(p, p + k) - p); }

// Calls fn(window, its probabilities (h,w,K)) for each window, `batch` at a time through the network.
template <class F> void for_each_window(const InferenceNetwork& network, const Volume& v,
    const std::vector<Window>& windows, int64_t batch, F&& fn) {
  for (size_t begin = 0; begin < windows.size(); begin += size_t(batch)) {
    const int64_t n = std::min(batch, int64_t(windows.size() - begin));
    const Tensor p = network.probabilities(v, &windows[begin], n);
    dispatch(p.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for (int64_t i = 0; i < n; ++i) fn(windows[begin + size_t(i)], p.rows(i, 1).template data<T>());
    });
  }
}

void check_label(const Volume& v, int classes) {
  if (v.label.empty()) fail(ExitCode::data, "validate", "'", v.id, "' has no label to compare with");
  const int largest = *std::max_element(v.label.begin(), v.label.end());
  if (largest >= classes)
    fail(ExitCode::data, "validate", "the label of '", v.id, "' holds class ", largest,
        ", the network knows 0..", classes - 1);
}

std::vector<uint8_t> segment_resized(
    const InferenceNetwork& network, const Volume& v, const InferenceOptions& o) {
  const int64_t side = network.admissible(o.size), k = network.classes();
  std::vector<Window> windows;
  for (int64_t z = 0; z < v.depth; ++z)
    windows.push_back(
        {z, continued(zoom_index(v.height, o.size), side), continued(zoom_index(v.width, o.size), side)});
  std::vector<uint8_t> labels(v.depth * v.slice_pixels()), small(o.size * o.size);
  for_each_window(network, v, windows, o.batch, [&](const Window& window, const auto* p) {
    for (int64_t y = 0; y < o.size; ++y)
      for (int64_t x = 0; x < o.size; ++x) small[y * o.size + x] = argmax(p + (y * side + x) * k, k);
    zoom_nearest(
        small.data(), o.size, o.size, 1, labels.data() + window.slice * v.slice_pixels(), v.height, v.width);
  });
  return labels;
}

std::vector<uint8_t> segment_tiles(
    const InferenceNetwork& network, const Volume& v, const InferenceOptions& o) {
  const int64_t tile = network.admissible(o.size), k = network.classes();
  std::vector<uint8_t> labels;
  std::vector<double> sum(v.slice_pixels() * k);  // argmax of the sum is argmax of the mean
  for (int64_t z = 0; z < v.depth; ++z) {
    std::vector<Window> windows;
    for (const int64_t y : tile_begins(v.height, tile, o.overlap))
      for (const int64_t x : tile_begins(v.width, tile, o.overlap))
        windows.push_back({z, continued(range(y, std::min(y + tile, v.height)), tile),
            continued(range(x, std::min(x + tile, v.width)), tile)});
    std::fill(sum.begin(), sum.end(), 0);
    for_each_window(network, v, windows, o.batch, [&](const Window& window, const auto* p) {
      const int64_t h = std::min(tile, v.height), w = std::min(tile, v.width);
      for (int64_t y = 0; y < h; ++y)
        for (int64_t x = 0; x < w; ++x)
          for (int64_t c = 0; c < k; ++c)
            sum[(window.rows[y] * v.width + window.columns[x]) * k + c] += double(p[(y * tile + x) * k + c]);
    });
    for (int64_t i = 0; i < v.slice_pixels(); ++i) labels.push_back(argmax(&sum[i * k], k));
  }
  return labels;
}

}  // namespace

std::vector<int64_t> tile_begins(int64_t n, int64_t tile, double overlap) {
  if (n <= tile) return {0};
  const double stride = std::max(1.0, double(tile) * (1 - overlap));
  const int64_t gaps = int64_t(std::ceil(double(n - tile) / stride));
  std::vector<int64_t> begins;
  for (int64_t i = 0; i <= gaps; ++i) begins.push_back(i * (n - tile) / gaps);
  return begins;
}

std::vector<uint8_t> segment(const UNet& unet, const ParamStore& weights, const Volume& volume,
    const InferenceOptions& options, const Arena& arena) {
  if (options.size < 1 || options.batch < 1 || !(options.overlap >= 0 && options.overlap < 1))
    fail(ExitCode::usage, "segment", "size ", options.size, " and batch ", options.batch,
        " must be at least 1, overlap ", options.overlap, " in [0,1)");
  if (volume.channels != unet.config().in_channels)
    fail(ExitCode::data, "segment", "'", volume.id, "' has ", volume.channels,
        " channel(s), the network was trained with ", unet.config().in_channels);
  const InferenceNetwork network(unet, weights, arena);
  return options.fit == Fit::resize ? segment_resized(network, volume, options)
                                    : segment_tiles(network, volume, options);
}

Summary validate(const UNet& unet, const ParamStore& weights, int64_t count, const VolumeAt& volume,
    const InferenceOptions& inference, const MetricOptions& metrics, const Arena& arena, const SeeCase& see) {
  std::vector<CaseScores> cases;
  for (int64_t i = 0; i < count; ++i) {
    const Volume v = volume(i);
    check_label(v, unet.config().classes);
    const std::vector<uint8_t> prediction = segment(unet, weights, v, inference, arena);
    const MaskExtent extent{v.depth, v.height, v.width, v.spacing};
    cases.push_back(
        score_case(v.id, prediction.data(), v.label.data(), unet.config().classes, extent, metrics));
    if (see) see(v, prediction, cases.back());
  }
  return summarise(std::move(cases));
}

}  // namespace patchcl
