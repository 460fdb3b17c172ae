#include "train/methods/patch_sampler.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "data/components.h"
#include "tensor/parallel.h"
#include "train/methods/summed_area.h"

namespace patchcl {

namespace {

const Names<Sampling> kSampling{{"entropy", Sampling::entropy}, {"uniform", Sampling::uniform},
    {"confidence", Sampling::confidence}, {"sure", Sampling::sure}, {"cosine", Sampling::cosine},
    {"top-k", Sampling::top_k}, {"boxes", Sampling::boxes}};
const Names<Parity> kParity{{"bernoulli", Parity::bernoulli}, {"threshold", Parity::threshold}};
const Names<EntropyOf> kEntropyOf{
    {"confidence", EntropyOf::confidence}, {"attended", EntropyOf::attended_image}};

constexpr double kLeastWeight = 1e-3;

WindowGrid grid_of(const PatchImages& b, const PatchOptions& o) {
  return WindowGrid(b.height, b.width, o.side, o.stride);
}

std::vector<Patch> grid_windows(
    const PatchImages& b, const WindowGrid& grid, const WindowStatistics& s, int64_t k) {
  std::vector<Patch> all;
  for (int64_t image = 0; image < b.n; ++image)
    for (int64_t w = 0; w < grid.count(); ++w)
      all.push_back({image, grid.top(w), grid.left(w), k, false, s.entropy[s.index(image, k, w)],
          s.confidence[s.index(image, k, w)]});
  return all;
}

uint8_t most_likely(const float* confidence, int64_t classes) {
  return uint8_t(std::max_element(confidence, confidence + classes) - confidence);
}

// Corners of windows that cover [begin, end) on an axis of length `size`: one, centred, when the extent is
// shorter than the side; else at stride `side`, the last one aligned to the end.
std::vector<int64_t> tile(int64_t begin, int64_t end, int64_t side, int64_t size) {
  std::vector<int64_t> corners;
  const int64_t extent = end - begin;
  if (extent < side) corners.push_back(begin + extent / 2 - side / 2);
  else
    for (int64_t at = begin; at < end; at += side) corners.push_back(std::min(at, end - side));
  for (int64_t& c : corners) c = std::clamp<int64_t>(c, 0, size - side);
  return corners;
}

// Greedy suppression as released, last corner first: drops windows of which more than 0.8 lies in a kept one.
std::vector<Patch> suppress_overlaps(std::vector<Patch> windows, int64_t side) {
  std::stable_sort(
      windows.begin(), windows.end(), [](const Patch& a, const Patch& b) { return a.left > b.left; });
  std::vector<Patch> kept;
  const auto shared = [side](int64_t a, int64_t b) { return std::max<int64_t>(0, side - std::abs(a - b)); };
  for (const Patch& w : windows) {
    const bool covered = std::any_of(kept.begin(), kept.end(), [&](const Patch& o) {
      return double(shared(w.top, o.top) * shared(w.left, o.left)) > 0.8 * double(side * side);
    });
    if (!covered) kept.push_back(w);
  }
  return kept;
}

double cosine(const float* a, const float* b, size_t n) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < n; ++i) {
    ab += double(a[i]) * double(b[i]);
    aa += double(a[i]) * double(a[i]);
    bb += double(b[i]) * double(b[i]);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

// Similarity of each window to the mean of all that are positive.
std::vector<double> cosine_weights(const PatchImages& b, const std::vector<Patch>& windows, int64_t side) {
  const size_t size = size_t(side * side * b.channels);
  std::vector<float> mean(size), content(size);
  for (const Patch& w : windows) {
    if (!w.positive) continue;
    cut_patch(b, w, side, /*attended=*/true, content.data());
    for (size_t i = 0; i < size; ++i) mean[i] += content[i];
  }
  std::vector<double> weights;
  for (const Patch& w : windows) {
    cut_patch(b, w, side, /*attended=*/true, content.data());
    weights.push_back(std::max(cosine(content.data(), mean.data(), size), kLeastWeight));
  }
  return weights;
}

// Of each image: the labelled ones, certain of every window, would leave nothing to the others. Of equal
// weights those stay that are drawn, not the first ones.
void keep_top(const std::vector<Patch>& windows, int64_t k, Rng& rng, std::vector<double>& weights) {
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  std::vector<uint32_t> lot(weights.size());
  for (uint32_t& l : lot) l = rng.bits();
  std::stable_sort(order.begin(), order.end(),
      [&](size_t a, size_t b) { return std::pair(weights[a], lot[a]) > std::pair(weights[b], lot[b]); });
  std::map<int64_t, int64_t> kept;
  for (const size_t i : order) weights[i] = kept[windows[i].image]++ < k ? 1 : 0;
}

// Drops windows in which background is the likeliest class of every pixel.
void keep_near_foreground(const PatchImages& b, int64_t side, std::vector<Patch>& windows) {
  std::vector<SummedArea> foreground;
  for (int64_t image = 0; image < b.n; ++image) {
    const float* confidence = b.confidence + image * b.pixels() * b.classes;
    foreground.emplace_back(b.height, b.width, [&](int64_t y, int64_t x) {
      return most_likely(confidence + (y * b.width + x) * b.classes, b.classes) != 0;
    });
  }
  std::erase_if(windows, [&](const Patch& w) {
    return foreground[size_t(w.image)].square(w.top, w.left, side).sum == 0;
  });  // EQ: 1.13 V5 background
}

void draw(const PatchImages& b, const std::vector<Patch>& from, int64_t n, const PatchOptions& o, Rng& rng,
    std::vector<Patch>& to) {
  for (size_t i : draw_categorical(sampling_weights(b, from, o, rng), n, rng, o.replacement))
    to.push_back(from[i]);
}

}  // namespace

void PatchOptions::declare(OptionList& o) {
  o.group("Patches");
  o.add("patch-side", side, "Side of a patch; 0: a quarter of the image", kNotNegative);
  o.add("patch-stride", stride, "Distance of candidate windows; 0: half a side", kNotNegative);
  o.choose("sampling", sampling, kSampling, "How patches are drawn from their candidates");
  o.choose("parity", parity, kParity, "How a window becomes positive for a class");
  o.add("replacement", replacement, "A window may be drawn more than once for a class");
  o.add("near-foreground", near_foreground, "Windows of background show some foreground too");
  o.add("labeled-windows", labeled_only, "Windows of labelled images only");
  o.choose("entropy-of", entropy_of, kEntropyOf, "Entropy of the confidence, or of image times confidence");
}

void PatchOptions::resolve(int64_t image_side, int64_t multiple) {
  if (side == 0) side = std::max(multiple, (image_side / 4 + multiple / 2) / multiple * multiple);
  if (side % multiple != 0)
    fail(ExitCode::usage, "patches", "--patch-side ", side, " is not a multiple of ", multiple,
        ", which the encoder wants");
  if (side > image_side)
    fail(ExitCode::usage, "patches", "--patch-side ", side, " does not fit into images of ", image_side, "x",
        image_side, "; choose at most ", image_side / multiple * multiple);
  if (stride == 0) stride = std::max<int64_t>(1, side / 2);
}

std::vector<Patch> box_windows(const PatchImages& b, int64_t image, int64_t k, int64_t side) {
  std::vector<Patch> windows;
  const auto add = [&](int64_t top, int64_t left, int64_t bottom, int64_t right) {
    for (int64_t r : tile(top, bottom, side, b.height))
      for (int64_t c : tile(left, right, side, b.width)) windows.push_back({image, r, c, k, true, 0, 0});
  };
  if (k == 0) {
    add(0, 0, b.height, b.width);
    return windows;
  }
  std::vector<uint8_t> labels(size_t(b.pixels()));
  const float* confidence = b.confidence + image * b.pixels() * b.classes;
  for (size_t m = 0; m < labels.size(); ++m)
    labels[m] = most_likely(confidence + int64_t(m) * b.classes, b.classes) == k;
  for (const Component& c : find_components(labels.data(), b.height, b.width).list)
    if ((c.bottom - c.top) * (c.right - c.left) > 10) add(c.top, c.left, c.bottom, c.right);
  return suppress_overlaps(windows, side);
}

WindowStatistics window_statistics(const PatchImages& b, const PatchOptions& o) {
  return window_statistics(b, grid_of(b, o), o.entropy_of);
}

std::vector<Patch> candidates(
    const PatchImages& b, const WindowStatistics& statistics, int64_t k, const PatchOptions& o, Rng& rng) {
  std::vector<Patch> all = grid_windows(b, grid_of(b, o), statistics, k);
  for (Patch& w : all) {
    const double draw =
        rng.uniform();  // one draw per window in either mode, so that both see the same stream
    w.positive =
        o.parity == Parity::threshold ? w.confidence > 0.5f : draw < double(w.confidence);  // EQ: 1.3 parity
  }
  if (o.sampling != Sampling::boxes) return all;
  std::erase_if(all, [](const Patch& w) { return w.positive; });
  for (int64_t image = 0; image < b.n; ++image)
    for (const Patch& w : box_windows(b, image, k, o.side)) {
      all.push_back(w);
      float sum = 0;
      for (int64_t r = 0; r < o.side; ++r)
        for (int64_t c = 0; c < o.side; ++c)
          sum += b.confidence[((image * b.height + w.top + r) * b.width + w.left + c) * b.classes + k];
      all.back().confidence = sum / float(o.side * o.side);
    }
  return all;
}

std::vector<double> sampling_weights(
    const PatchImages& b, const std::vector<Patch>& windows, const PatchOptions& o, Rng& rng) {
  if (o.sampling == Sampling::cosine) return cosine_weights(b, windows, o.side);
  std::vector<double> weights(windows.size(), 1);
  if (o.sampling == Sampling::uniform || o.sampling == Sampling::boxes) return weights;
  for (size_t i = 0; i < windows.size(); ++i) {
    const Patch& w = windows[i];
    const double sure = double(w.positive ? w.confidence : 1 - w.confidence);
    const double certain = std::max(1 - double(w.entropy), kLeastWeight);  // EQ: 1.3 weight
    weights[i] = certain;
    if (o.sampling == Sampling::confidence) weights[i] = sure;
    if (o.sampling == Sampling::sure) weights[i] = sure * certain;  // EQ: 1.13 V5 weight
  }
  if (o.sampling == Sampling::top_k) keep_top(windows, o.top_k, rng, weights);
  return weights;
}

std::vector<size_t> draw_categorical(std::vector<double> weights, int64_t n, Rng& rng, bool replacement) {
  std::vector<double> cumulative(weights.size());
  const auto sum = [&] { std::partial_sum(weights.begin(), weights.end(), cumulative.begin()); };
  sum();
  std::vector<size_t> drawn;
  for (int64_t i = 0; i < n && !cumulative.empty() && cumulative.back() > 0; ++i) {
    const double at = rng.uniform() * cumulative.back();
    drawn.push_back(
        size_t(std::upper_bound(cumulative.begin(), cumulative.end() - 1, at) - cumulative.begin()));
    if (replacement) continue;
    weights[drawn.back()] = 0;
    sum();
  }
  return drawn;
}

SampledPatches sample_patches(
    const PatchImages& b, int64_t count, const PatchOptions& o, AreaFilter& filter, Rng& rng) {
  require(!b.gpu || !looks_at_pixels(o), "patches", "this sampler wants the batch on the host");
  const WindowStatistics statistics = window_statistics(b, o);
  std::vector<std::vector<Patch>> positive(size_t(b.classes)), negative(size_t(b.classes));
  int64_t present = 0;
  for (int64_t k = 0; k < b.classes; ++k) {
    std::vector<float> areas;
    std::vector<Patch>& windows = positive[size_t(k)];
    for (const Patch& w : candidates(b, statistics, k, o, rng)) {
      (w.positive ? windows : negative[size_t(k)]).push_back(w);
      if (w.positive) areas.push_back(w.confidence);
    }
    const std::vector<bool> stays = filter.keep(k, areas);
    size_t at = 0;
    std::erase_if(windows, [&](const Patch&) { return !stays[at++]; });
    if (o.near_foreground && k == 0) keep_near_foreground(b, o.side, windows);
    present += !windows.empty();
  }
  SampledPatches drawn;
  for (size_t k = 0; k < positive.size(); ++k) {
    if (positive[k].empty()) continue;
    const int64_t left = count - int64_t(drawn.positive.size());
    const int64_t share = (left + present - 1) / present;  // EQ: 1.6 balanced budget
    --present;
    draw(b, positive[k], share, o, rng, drawn.positive);
    draw(b, negative[k], share, o, rng, drawn.negative);
  }
  return drawn;
}

void cut_patch(const PatchImages& b, const Patch& p, int64_t side, bool attended, float* out) {
  for (int64_t r = 0; r < side; ++r)
    for (int64_t c = 0; c < side; ++c)
      for (int64_t channel = 0; channel < b.channels; ++channel)
        *out++ = patch_pixel(b, p, r, c, channel, attended);
}

}  // namespace patchcl
