#include "train/evaluate/inference.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <numeric>

#include "autograd/ops/softmax.h"
#include "data/components.h"
#include "data/objects.h"
#include "data/resize.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

// One input of the network: which pixel of which slice each of its pixels shows.
struct Window {
  int64_t slice;
  std::vector<int64_t> rows, columns;
};

// One of the eight ways to lay a square down: transposed or not, then flipped along either axis.
struct Turn {
  bool transposed, upside_down, mirrored;
  // Where the pixel that lies at (row, column) of the turned square of side n comes from, as an index.
  int64_t source(int64_t row, int64_t column, int64_t n) const {
    if (upside_down) row = n - 1 - row;
    if (mirrored) column = n - 1 - column;
    return transposed ? column * n + row : row * n + column;
  }
};

// What is read of a network at each pixel of its input: the probabilities of the classes; or the uncertainty
// of each gate and behind them 1, by which a sum over windows is divided.
enum class Read { probabilities, gates };

// Networks with their weights, how they see a window, and where their activations go.
class InferenceNetwork {
 public:
  InferenceNetwork(const Ensemble& networks, bool all_turns, const Arena& arena, Read read)
      : networks_(networks), arena_(arena), read_(read) {
    for (int t = 0; t < (all_turns ? 8 : 1); ++t)
      turns_.push_back({(t & 4) != 0, (t & 2) != 0, (t & 1) != 0});
  }

  // How many numbers a pixel has.
  int64_t numbers() const {
    const UNet& unet = *networks_[0].unet;
    return read_ == Read::gates ? int64_t(unet.gate_names().size()) + 1 : unet.config().classes;
  }
  // The smallest side that holds n and is admissible to all.
  int64_t admissible(int64_t n) const {
    int64_t m = 1;
    for (const Predictor& p : networks_) m = std::max(m, p.unet->size_multiple());
    return (n + m - 1) / m * m;
  }

  // What is read, (n,side,side,K), on the host, of n square windows: summed over networks and turns.
  std::vector<double> read(const Volume& v, const Window* windows, int64_t n) const {
    const int64_t side = int64_t(windows[0].rows.size()), k = numbers();
    std::vector<double> sum(size_t(n * side * side * k));
    for (const Predictor& network : networks_)
      for (const Turn& turn : turns_) {
        const Tensor p = forward(network, v, windows, n, turn);
        dispatch(p.dtype(), [&](auto zero) {
          using T = decltype(zero);
          parallel_for(n, [&](int64_t i) {
            const T* from = p.data<T>() + i * side * side * k;
            double* to = sum.data() + i * side * side * k;
            for (int64_t r = 0; r < side; ++r)
              for (int64_t c = 0; c < side; ++c)
                for (int64_t j = 0; j < k; ++j) to[turn.source(r, c, side) * k + j] += double(*from++);
          });
        });
      }
    return sum;
  }

 private:
  Tensor forward(
      const Predictor& network, const Volume& v, const Window* windows, int64_t n, const Turn& turn) const {
    const int64_t side = int64_t(windows[0].rows.size());
    const Tensor host = host_.empty({n, side, side, v.channels}, network.weights->dtype());
    dispatch(host.dtype(), [&](auto zero) {
      using T = decltype(zero);
      parallel_for(
          n, [&](int64_t i) { gather(v, windows[i], turn, host.data<T>() + i * side * side * v.channels); });
    });
    const Tensor x = arena_.empty(host.shape(), host.dtype());
    copy(host, x);
    Tape tape(arena_, {.grad = false, .keep = read_ == Read::gates});
    Pass pass(tape, *network.weights, /*training=*/false);
    const Var logits = network.unet->forward(pass, tape.constant(x, "images")).logits;
    if (read_ == Read::gates) return gates(uncertainty_maps(tape), n, side);
    const Var p = softmax(logits);
    const Tensor result = host_.empty(p.shape(), p.dtype());
    copy(p.value(), result);
    return result;
  }

  // Maps of all levels as one (n,side,side,K).
  Tensor gates(const std::vector<Tensor>& maps, int64_t n, int64_t side) const {
    const Tensor result = host_.empty({n, side, side, numbers()}, DType::f32);
    float* out = result.data<float>();
    for (int64_t i = 0; i < n; ++i)
      for (int64_t y = 0; y < side; ++y)
        for (int64_t x = 0; x < side; ++x) {
          for (const Tensor& map : maps) {
            const int64_t h = map.shape()[1], w = map.shape()[2];
            *out++ = map.data<float>()[(i * h + y * h / side) * w + x * w / side];
          }
          *out++ = 1;
        }
    return result;
  }

  template <class T> static void gather(const Volume& v, const Window& window, const Turn& turn, T* out) {
    const float* slice = v.image.data() + window.slice * v.slice_pixels() * v.channels;
    const int64_t side = int64_t(window.rows.size());
    for (int64_t r = 0; r < side; ++r)
      for (int64_t c = 0; c < side; ++c) {
        const int64_t at = turn.source(r, c, side);
        const int64_t pixel = window.rows[at / side] * v.width + window.columns[at % side];
        for (int64_t k = 0; k < v.channels; ++k) *out++ = T(slice[pixel * v.channels + k]);
      }
  }

  const Ensemble& networks_;
  std::vector<Turn> turns_;
  const Arena& arena_;
  const Read read_;
  const Arena host_{"inference, host"};
};

// Calls fn(window, what is read of it, (side,side,K)) for each window, `batch` at a time through the network.
template <class F> void for_each_window(const InferenceNetwork& network, const Volume& v,
    const std::vector<Window>& windows, int64_t batch, F&& fn) {
  for (size_t begin = 0; begin < windows.size(); begin += size_t(batch)) {
    const int64_t n = std::min(batch, int64_t(windows.size() - begin));
    const std::vector<double> p = network.read(v, &windows[begin], n);
    for (int64_t i = 0; i < n; ++i) fn(windows[begin + size_t(i)], p.data() + i * int64_t(p.size()) / n);
  }
}

[[noreturn]] void fail_without_numbers(const Volume& v, int64_t slice) {
  fail(ExitCode::non_finite, "segment", "'", v.id, "', slice ", slice,
      ": the network's probabilities are not finite; look at this image, try --math f32, or take "
      "weights of an earlier step or of a lower --lr");
}

void check_label(const Volume& v, int classes) {
  if (v.label.empty()) fail(ExitCode::data, "validate", "'", v.id, "' has no label to compare with");
  const int largest = *std::max_element(v.label.begin(), v.label.end());
  if (largest >= classes)
    fail(ExitCode::data, "validate", "the label of '", v.id, "' holds class ", largest,
        ", the network knows 0..", classes - 1);
}

// All ways give what is read of each slice (H,W,K), up to a factor, to take(slice, numbers).
using TakeSlice = std::function<void(int64_t, std::vector<double>&)>;

// The volume with slices of side x side.
Volume zoomed_bilinearly(const Volume& v, int64_t side) {
  Volume out;
  out.depth = v.depth;
  out.height = out.width = side;
  out.channels = v.channels;
  out.image.resize(size_t(v.depth * side * side * v.channels));
  for (int64_t z = 0; z < v.depth; ++z)
    zoom_bilinear(v.image.data() + z * v.slice_pixels() * v.channels, v.height, v.width, v.channels,
        out.image.data() + z * side * side * v.channels, side, side);
  return out;
}

// Probabilities at v's resolution from those of the upper left size x size of (side,side,K), up to a factor.
void zoom_logits(
    const double* p, int64_t side, int64_t size, int64_t k, const Volume& v, std::vector<double>& slice) {
  // A logarithm of the softmax is the logit but for a number that all classes share, and so are their means.
  std::vector<float> logits(static_cast<size_t>(size * size * k)), zoomed(slice.size());
  for (int64_t y = 0; y < size; ++y)
    std::transform(p + y * side * k, p + (y * side + size) * k, &logits[size_t(y * size * k)],
        [](double x) { return float(std::log(std::max(x, double(FLT_MIN)))); });
  zoom_bilinear(logits.data(), size, size, k, zoomed.data(), v.height, v.width);
  std::transform(zoomed.begin(), zoomed.end(), slice.begin(), [](float x) { return std::exp(double(x)); });
}

void slices_resized(
    const InferenceNetwork& network, const Volume& v, const InferenceOptions& o, const TakeSlice& take) {
  const int64_t side = network.admissible(o.size), k = network.numbers();
  const bool bilinear = o.fit == Fit::bilinear;
  const Volume zoomed = bilinear ? zoomed_bilinearly(v, o.size) : Volume();
  const Volume& seen = bilinear ? zoomed : v;
  std::vector<Window> windows;
  for (int64_t z = 0; z < v.depth; ++z)
    windows.push_back({z, continued(zoom_index(seen.height, o.size), side),
        continued(zoom_index(seen.width, o.size), side)});
  const std::vector<int64_t> rows = zoom_index(o.size, v.height), columns = zoom_index(o.size, v.width);
  std::vector<double> slice(size_t(v.slice_pixels() * k));
  const auto zoom_nearest_back = [&](const double* p) {
    double* out = slice.data();
    for (const int64_t y : rows)
      for (const int64_t x : columns) out = std::copy_n(p + (y * side + x) * k, k, out);
  };
  for_each_window(network, seen, windows, o.batch, [&](const Window& window, const double* p) {
    if (o.bilinear_back) zoom_logits(p, side, o.size, k, v, slice);
    else zoom_nearest_back(p);
    take(window.slice, slice);
  });
}

void slices_of_tiles(
    const InferenceNetwork& network, const Volume& v, const InferenceOptions& o, const TakeSlice& take) {
  const int64_t tile = network.admissible(o.size), k = network.numbers();
  std::vector<double> sum(size_t(v.slice_pixels() * k));
  for (int64_t z = 0; z < v.depth; ++z) {
    std::vector<Window> windows;
    for (const int64_t y : tile_begins(v.height, tile, o.overlap))
      for (const int64_t x : tile_begins(v.width, tile, o.overlap))
        windows.push_back({z, continued(range(y, std::min(y + tile, v.height)), tile),
            continued(range(x, std::min(x + tile, v.width)), tile)});
    std::fill(sum.begin(), sum.end(), 0);
    for_each_window(network, v, windows, o.batch, [&](const Window& window, const double* p) {
      const int64_t h = std::min(tile, v.height), w = std::min(tile, v.width);
      for (int64_t y = 0; y < h; ++y)
        for (int64_t x = 0; x < w; ++x)
          for (int64_t c = 0; c < k; ++c)
            sum[(window.rows[y] * v.width + window.columns[x]) * k + c] += p[(y * tile + x) * k + c];
    });
    take(z, sum);
  }
}

void read_slices(
    const InferenceNetwork& network, const Volume& v, const InferenceOptions& o, const TakeSlice& take) {
  if (o.fit == Fit::crop) slices_of_tiles(network, v, o, take);
  else slices_resized(network, v, o, take);
}

Segmentation finished(
    std::vector<uint8_t> of_network, const Volume& v, const InferenceOptions& o, uint8_t last_class) {
  Segmentation s{std::move(of_network), {}};
  s.classes = s.of_network;
  for (int64_t z = 0; o.border > 0 && z < v.depth; ++z)
    grow_over_border(s.classes.data() + z * v.slice_pixels(), v.height, v.width, o.border, last_class);
  if (o.largest_component) keep_largest_components(s.classes.data(), v.height, v.width, v.depth);
  if (o.border == 0) s.of_network = s.classes;
  return s;
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

Segmentation segment(const Ensemble& networks, const Volume& volume, const InferenceOptions& options,
    const Arena& arena, const SeeSlice& see) {
  if (options.size < 1 || options.batch < 1 || !(options.overlap >= 0 && options.overlap < 1))
    fail(ExitCode::usage, "segment", "size ", options.size, " and batch ", options.batch,
        " must be at least 1, overlap ", options.overlap, " in [0,1)");
  if (options.bilinear_back && options.fit == Fit::crop)
    fail(ExitCode::usage, "segment", "with --fit crop nothing is zoomed; leave --bilinear-back out");
  for (const Predictor& p : networks)
    if (volume.channels != p.unet->config().in_channels)
      fail(ExitCode::data, "segment", "'", volume.id, "' has ", volume.channels,
          " channel(s), the network was trained with ", p.unet->config().in_channels);
  const InferenceNetwork network(networks, options.turns, arena, Read::probabilities);
  const int64_t pixels = volume.slice_pixels(), k = network.numbers();
  std::vector<uint8_t> labels(size_t(volume.depth * pixels));
  const auto take = [&](int64_t z, std::vector<double>& p) {
    for (int64_t i = 0; i < pixels; ++i) {
      double* const at = &p[size_t(i * k)];
      labels[size_t(z * pixels + i)] = uint8_t(std::max_element(at, at + k) - at);  // the first of equals
      const double sum = std::accumulate(at, at + k, 0.);
      if (!std::isfinite(sum)) fail_without_numbers(volume, z);
      for (int64_t c = 0; see && c < k; ++c) at[c] /= sum;
    }
    if (see) see(z, p);
  };
  read_slices(network, volume, options, take);
  return finished(std::move(labels), volume, options, uint8_t(k - 1));
}

std::vector<std::vector<float>> gate_uncertainty(const Predictor& network, const Volume& volume,
    int64_t slice, const InferenceOptions& options, const Arena& arena) {
  const int64_t numbers = volume.slice_pixels() * volume.channels;
  Volume one;
  one.depth = 1;
  one.height = volume.height;
  one.width = volume.width;
  one.channels = volume.channels;
  one.image.assign(volume.image.begin() + slice * numbers, volume.image.begin() + (slice + 1) * numbers);
  InferenceOptions one_by_one = options;
  one_by_one.batch = 1;  // a tape that keeps all values is large
  one_by_one.bilinear_back = false;
  const Ensemble networks{network};
  const InferenceNetwork reader(networks, options.turns, arena, Read::gates);
  const int64_t pixels = one.slice_pixels(), k = reader.numbers();
  std::vector<std::vector<float>> maps(size_t(k - 1), std::vector<float>(size_t(pixels)));
  read_slices(reader, one, one_by_one, [&](int64_t, const std::vector<double>& sum) {
    for (int64_t i = 0; i < pixels; ++i)
      for (int64_t g = 0; g + 1 < k; ++g)
        maps[size_t(g)][size_t(i)] = float(sum[size_t(i * k + g)] / sum[size_t(i * k + k - 1)]);
  });
  return maps;
}

Summary validate(const Ensemble& networks, int64_t count, const VolumeAt& volume,
    const InferenceOptions& inference, const MetricOptions& metrics, const Arena& arena, const SeeCase& see) {
  const int classes = networks[0].unet->config().classes - (inference.border > 0);
  std::vector<CaseScores> cases;
  for (int64_t i = 0; i < count; ++i) {
    const Volume v = volume(i);
    check_label(v, classes);
    demand_spacing(metrics, v.spacing_known, v.source);
    const Segmentation prediction = segment(networks, v, inference, arena);
    const MaskExtent extent{v.depth, v.height, v.width, v.spacing};
    cases.push_back(score_case(v.id, prediction.classes.data(), v.label.data(), classes, extent, metrics));
    if (see) see(v, prediction, cases.back());
  }
  return summarise(std::move(cases));
}

}  // namespace patchcl
