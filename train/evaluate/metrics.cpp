#include "train/evaluate/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/error.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// min over j of f[j] + (spacing (i - j))^2 for every i: the lower envelope of the parabolas rooted at the
// finite f[j].
class LowerEnvelope {
 public:
  explicit LowerEnvelope(int64_t longest) : vertex_(longest), from_(longest) {}

  void transform(const double* f, int64_t n, double spacing, double* out) {
    const double w = spacing * spacing;
    int64_t k = -1;
    for (int64_t j = 0; j < n; ++j) {
      if (f[j] == kInfinity) continue;
      double start = -kInfinity;
      for (; k >= 0; --k) {
        const int64_t v = vertex_[k];
        start = ((f[j] + w * double(j * j)) - (f[v] + w * double(v * v))) / (2 * w * double(j - v));
        if (start > from_[k]) break;
      }
      if (k < 0) start = -kInfinity;
      ++k;
      vertex_[k] = j;
      from_[k] = start;
    }
    const int64_t last = k;
    k = 0;
    for (int64_t i = 0; i < n; ++i) {
      if (last < 0) {
        out[i] = kInfinity;
        continue;
      }
      while (k < last && from_[k + 1] < double(i)) ++k;
      const double d = double(i - vertex_[k]);
      out[i] = f[vertex_[k]] + w * d * d;
    }
  }

 private:
  std::vector<int64_t> vertex_;  // roots of the parabolas on the envelope, left to right
  std::vector<double> from_;     // where each begins to be the lowest
};

// The voxels of one class inside the box that holds the class in both masks. Cutting to the box changes no
// distance between surfaces and no surface: outside of it there is background only.
struct ClassPair {
  MaskExtent box;
  std::vector<uint8_t> prediction, reference;
  int64_t in_prediction = 0, in_reference = 0, in_both = 0;
};

ClassPair cut(const uint8_t* prediction, const uint8_t* reference, int c, const MaskExtent& extent) {
  std::array<int64_t, 3> low{extent.depth, extent.height, extent.width}, high{-1, -1, -1};
  ClassPair pair;
  int64_t i = 0;
  for (int64_t z = 0; z < extent.depth; ++z)
    for (int64_t y = 0; y < extent.height; ++y)
      for (int64_t x = 0; x < extent.width; ++x, ++i) {
        const bool p = prediction[i] == c, r = reference[i] == c;
        if (!p && !r) continue;
        pair.in_prediction += p;
        pair.in_reference += r;
        pair.in_both += p && r;
        const std::array<int64_t, 3> at{z, y, x};
        for (int a = 0; a < 3; ++a) {
          low[a] = std::min(low[a], at[a]);
          high[a] = std::max(high[a], at[a]);
        }
      }
  pair.box = {std::max<int64_t>(high[0] - low[0] + 1, 0), std::max<int64_t>(high[1] - low[1] + 1, 0),
      std::max<int64_t>(high[2] - low[2] + 1, 0), extent.spacing};
  for (int64_t z = low[0]; z <= high[0]; ++z)
    for (int64_t y = low[1]; y <= high[1]; ++y)
      for (int64_t x = low[2]; x <= high[2]; ++x) {
        const int64_t at = (z * extent.height + y) * extent.width + x;
        pair.prediction.push_back(prediction[at] == c);
        pair.reference.push_back(reference[at] == c);
      }
  return pair;
}

// The mask minus its erosion by the 6-neighbourhood, or by the 4-neighbourhood when `planar`.
std::vector<uint8_t> surface(const std::vector<uint8_t>& mask, const MaskExtent& g, bool planar) {
  std::vector<uint8_t> out(mask.size());
  const auto in = [&](int64_t z, int64_t y, int64_t x) {
    const bool inside = z >= 0 && z < g.depth && y >= 0 && y < g.height && x >= 0 && x < g.width;
    return inside && mask[(z * g.height + y) * g.width + x];
  };
  int64_t i = 0;
  for (int64_t z = 0; z < g.depth; ++z)
    for (int64_t y = 0; y < g.height; ++y)
      for (int64_t x = 0; x < g.width; ++x, ++i) {
        const bool kept = in(z, y - 1, x) && in(z, y + 1, x) && in(z, y, x - 1) && in(z, y, x + 1) &&
                          (planar || (in(z - 1, y, x) && in(z + 1, y, x)));
        out[i] = mask[i] && !kept;
      }
  return out;
}

// d(from -> to): for each voxel of the surface `from` the distance to the surface `to`.
std::vector<double> surface_distances(
    const std::vector<uint8_t>& from, const std::vector<uint8_t>& to, const MaskExtent& extent) {
  const std::vector<double> d2 = squared_distances(to, extent);
  std::vector<double> d;
  for (size_t i = 0; i < from.size(); ++i)
    if (from[i]) d.push_back(std::sqrt(d2[i]));
  return d;
}

double mean_of(const std::vector<double>& v) {
  double sum = 0;
  for (double x : v) sum += x;
  return sum / double(v.size());
}

// numpy.percentile(v, 100 q) with its default, linear interpolation between order statistics.
double quantile(std::vector<double> v, double q) {
  const double at = q * double(v.size() - 1);
  const size_t below = size_t(at), above = std::min(below + 1, v.size() - 1);
  std::nth_element(v.begin(), v.begin() + below, v.end());
  const double a = v[below];
  const double b = above == below ? a : *std::min_element(v.begin() + above, v.end());
  return a + (b - a) * (at - double(below));
}

Scores score_empty(bool both, const MaskExtent& extent, EmptyRule rule) {
  switch (rule) {
    case EmptyRule::nan: return both ? Scores{kNaN, kNaN, kNaN, kNaN} : Scores{0, 0, kNaN, kNaN};
    case EmptyRule::zero: return {0, 0, 0, 0};
    case EmptyRule::penalty: break;
  }
  if (both) return {1, 1, 0, 0};
  return {0, 0, extent.diagonal(), extent.diagonal()};
}

double ratio(int64_t part, int64_t whole) { return whole == 0 ? kNaN : double(part) / double(whole); }

// One class of two masks of n voxels.
Counts count_class(const uint8_t* prediction, const uint8_t* reference, int c, int64_t n) {
  Counts counts;
  for (int64_t i = 0; i < n; ++i) {
    const bool p = prediction[i] == c, r = reference[i] == c;
    counts.tp += p && r;
    counts.fp += p && !r;
    counts.fn += !p && r;
  }
  counts.tn = n - counts.tp - counts.fp - counts.fn;
  return counts;
}

constexpr double Scores::*kFields[] = {&Scores::dice, &Scores::jaccard, &Scores::hd95, &Scores::asd};

// Means of the fields over `all`, each without its undefined values; counts those.
Scores mean_of(const std::vector<Scores>& all, int64_t* undefined = nullptr) {
  Scores mean;
  for (const auto field : kFields) {
    std::vector<double> defined;
    for (const Scores& s : all)
      if (!std::isnan(s.*field)) defined.push_back(s.*field);
    mean.*field = defined.empty() ? kNaN : mean_of(defined);
    if (undefined) *undefined += int64_t(all.size() - defined.size());
  }
  return mean;
}

}  // namespace

double MaskExtent::diagonal() const {
  const auto side = [](int64_t n, double distance) { return double(n - 1) * distance; };
  return std::hypot(side(depth, spacing[0]), side(height, spacing[1]), side(width, spacing[2]));
}

Counts& Counts::operator+=(const Counts& other) {
  tp += other.tp;
  fp += other.fp;
  fn += other.fn;
  tn += other.tn;
  return *this;
}
double Counts::dice() const { return ratio(2 * tp, 2 * tp + fp + fn); }  // EQ: 4.5 pooled Dice
double Counts::sensitivity() const { return ratio(tp, tp + fn); }        // EQ: 4.5 sensitivity
double Counts::specificity() const { return ratio(tn, tn + fp); }        // EQ: 4.5 specificity

void demand_spacing(const MetricOptions& options, bool known, const std::string& path) {
  if (options.spacing == Spacing::voxel || known) return;
  fail(ExitCode::data, "metrics", path,
      " does not say how far apart its voxels are, so no distance is in mm; say --spacing voxel");
}

std::string describe(const MetricOptions& options) {
  const std::string unit = options.spacing == Spacing::voxel
                               ? "HD95 and ASD in voxels (distance 1 between neighbours, spacing ignored)"
                               : "HD95 and ASD in mm (the file's spacing)";
  const std::string one = "; empty prediction or reference: ";
  switch (options.empty) {
    case EmptyRule::nan:
      return unit + one +
             "Dice 0, distances undefined; both empty: all undefined; means leave undefined values out";
    case EmptyRule::zero: return unit + one + "all four score 0, which flatters distances";
    case EmptyRule::penalty:
      return unit + one + "Dice 0, distances = image diagonal; both empty: Dice 1, distances 0";
  }
  return unit;
}

std::vector<double> squared_distances(const std::vector<uint8_t>& site, const MaskExtent& g) {
  std::vector<double> d(site.size());
  for (size_t i = 0; i < site.size(); ++i) d[i] = site[i] ? 0 : kInfinity;
  const int64_t size[3] = {g.depth, g.height, g.width}, stride[3] = {g.height * g.width, g.width, 1};
  const int64_t longest = std::max({g.depth, g.height, g.width});
  LowerEnvelope envelope(longest);
  std::vector<double> line(longest), out(longest);
  for (int axis = 2; axis >= 0; --axis) {
    const int64_t n = size[axis], s = stride[axis];
    if (n <= 1) continue;
    for (int64_t start = 0; start < int64_t(d.size()); ++start) {
      if (start / s % n != 0) continue;  // lines begin where this axis' index is 0
      for (int64_t i = 0; i < n; ++i) line[i] = d[start + i * s];
      envelope.transform(line.data(), n, g.spacing[axis], out.data());
      for (int64_t i = 0; i < n; ++i) d[start + i * s] = out[i];
    }
  }
  return d;
}

Scores score(const uint8_t* prediction, const uint8_t* reference, int c, const MaskExtent& extent,
    const MetricOptions& options) {
  MaskExtent measured = extent;
  if (options.spacing == Spacing::voxel) measured.spacing = {1, 1, 1};
  const ClassPair pair = cut(prediction, reference, c, measured);
  if (pair.in_prediction == 0 || pair.in_reference == 0)
    return score_empty(pair.in_prediction + pair.in_reference == 0, measured, options.empty);
  const bool planar = extent.depth == 1;
  const std::vector<uint8_t> p = surface(pair.prediction, pair.box, planar),
                             r = surface(pair.reference, pair.box, planar);
  const std::vector<double> forth = surface_distances(p, r, pair.box),
                            back = surface_distances(r, p, pair.box);
  std::vector<double> both = forth;
  both.insert(both.end(), back.begin(), back.end());
  const double sum = double(pair.in_prediction + pair.in_reference), common = double(pair.in_both);
  return {2 * common / sum,     // EQ: 4.5 Dice
      common / (sum - common),  // EQ: 4.5 Jaccard
      quantile(both, 0.95),     // EQ: 4.5 HD95
      mean_of(forth)};          // EQ: 4.5 ASD
}

CaseScores score_case(const std::string& id, const uint8_t* prediction, const uint8_t* reference,
    int class_count, const MaskExtent& extent, const MetricOptions& options) {
  const int64_t n = extent.depth * extent.height * extent.width;
  CaseScores result{id, std::vector<Scores>(class_count - 1), std::vector<Counts>(class_count - 1)};
  parallel_for(class_count - 1, [&](int64_t i) {
    result.classes[i] = score(prediction, reference, int(i) + 1, extent, options);
    result.counts[i] = count_class(prediction, reference, int(i) + 1, n);
  });
  int64_t right = 0;
  for (int64_t i = 0; i < n; ++i) right += prediction[i] == reference[i];
  result.accuracy = ratio(right, n);  // EQ: 4.5 pixel accuracy
  return result;
}

Summary summarise(std::vector<CaseScores> cases) {
  Summary s;
  for (size_t c = 0; !cases.empty() && c < cases.front().classes.size(); ++c) {
    std::vector<Scores> of_class;
    for (const CaseScores& one : cases) {
      require(one.classes.size() == cases.front().classes.size(), "metrics", "case '", one.id, "' has ",
          one.classes.size(), " classes, '", cases.front().id, "' has ", cases.front().classes.size());
      of_class.push_back(one.classes[c]);
    }
    s.classes.push_back(mean_of(of_class, &s.undefined));
  }
  s.mean = mean_of(s.classes);
  std::vector<double> accuracy;
  for (const CaseScores& one : cases) {
    s.counts.resize(one.counts.size());
    for (size_t c = 0; c < one.counts.size(); ++c) s.counts[c] += one.counts[c];
    accuracy.push_back(one.accuracy);
  }
  s.accuracy = accuracy.empty() ? kNaN : mean_of(accuracy);
  s.cases = std::move(cases);
  return s;
}

}  // namespace patchcl
