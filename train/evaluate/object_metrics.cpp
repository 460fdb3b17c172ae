#include "train/evaluate/object_metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "tensor/error.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

struct Object {
  std::vector<int64_t> voxels;           // in rising order
  std::array<int64_t, 3> low{}, high{};  // the box that holds them, both ends in it
  std::map<size_t, int64_t> shared;      // voxels in common with objects of the other map
  int64_t size() const { return int64_t(voxels.size()); }
};

std::array<int64_t, 3> place(int64_t voxel, const MaskExtent& e) {
  return {voxel / (e.height * e.width), voxel / e.width % e.height, voxel % e.width};
}

// The objects of a map in the order of their numbers; `index` becomes the position of each voxel's object, -1
// on background.
std::vector<Object> collect(
    const std::vector<int32_t>& map, const MaskExtent& extent, std::vector<int64_t>& index) {
  std::map<int32_t, size_t> position;
  for (const int32_t number : map)
    if (number != 0) position.emplace(number, 0);
  size_t next = 0;
  for (auto& entry : position) entry.second = next++;
  std::vector<Object> objects(next);
  index.assign(map.size(), -1);
  for (size_t i = 0; i < map.size(); ++i) {
    if (map[i] == 0) continue;
    index[i] = int64_t(position.at(map[i]));
    Object& o = objects[size_t(index[i])];
    const std::array<int64_t, 3> at = place(int64_t(i), extent);
    if (o.voxels.empty()) o.low = o.high = at;
    o.voxels.push_back(int64_t(i));
    for (size_t a = 0; a < 3; ++a) {
      o.low[a] = std::min(o.low[a], at[a]);
      o.high[a] = std::max(o.high[a], at[a]);
    }
  }
  return objects;
}

// EQ: 9.1 partner
std::optional<size_t> partner(const Object& o) {
  std::optional<size_t> best;
  for (const auto& [other, voxels] : o.shared)
    if (!best || voxels > o.shared.at(*best)) best = other;
  return best;
}

// Both objects cut to the box that holds them, where all distances between them lie.
class ObjectPair {
 public:
  ObjectPair(const Object& a, const Object& b, const MaskExtent& extent) : a_(a), b_(b), extent_(extent) {
    for (size_t i = 0; i < 3; ++i) low_[i] = std::min(a.low[i], b.low[i]);
    const auto side = [&](size_t i) { return std::max(a.high[i], b.high[i]) - low_[i] + 1; };
    box_ = {side(0), side(1), side(2), extent.spacing};
  }
  // EQ: 9.3 Hausdorff distance
  double hausdorff() const { return std::sqrt(std::max(squared(a_, b_), squared(b_, a_))); }

 private:
  size_t in_box(int64_t voxel) const {
    const std::array<int64_t, 3> at = place(voxel, extent_);
    return size_t(((at[0] - low_[0]) * box_.height + at[1] - low_[1]) * box_.width + at[2] - low_[2]);
  }
  // The largest squared distance from a voxel of `from` to `to`.
  double squared(const Object& from, const Object& to) const {
    std::vector<uint8_t> site(size_t(box_.depth * box_.height * box_.width));
    for (const int64_t v : to.voxels) site[in_box(v)] = 1;
    const std::vector<double> d = squared_distances(site, box_);
    double most = 0;
    for (const int64_t v : from.voxels) most = std::max(most, d[in_box(v)]);
    return most;
  }

  const Object &a_, &b_;
  const MaskExtent& extent_;
  std::array<int64_t, 3> low_;
  MaskExtent box_;
};

double dice_of(const Object& a, const Object& b, int64_t shared) {
  return 2 * double(shared) / double(a.size() + b.size());
}

double nearest_hausdorff(const Object& o, const std::vector<Object>& others, const MaskExtent& extent) {
  double least = std::numeric_limits<double>::infinity();
  for (const Object& other : others) least = std::min(least, ObjectPair(o, other, extent).hausdorff());
  return least;
}

// The sums over one map's objects.
ObjectSums::Side sum_side(
    const std::vector<Object>& objects, const std::vector<Object>& others, const MaskExtent& extent) {
  std::vector<double> distance(objects.size(), extent.diagonal());
  if (!others.empty())
    parallel_for(int64_t(objects.size()), [&](int64_t i) {
      const Object& o = objects[size_t(i)];
      const std::optional<size_t> p = partner(o);
      distance[size_t(i)] =
          p ? ObjectPair(o, others[*p], extent).hausdorff() : nearest_hausdorff(o, others, extent);
    });
  ObjectSums::Side side;
  for (size_t i = 0; i < objects.size(); ++i) {
    const Object& o = objects[i];
    side.pixels += o.size();
    side.hausdorff += double(o.size()) * distance[i];
    if (const std::optional<size_t> p = partner(o))
      side.dice += double(o.size()) * dice_of(o, others[*p], o.shared.at(*p));
  }
  return side;
}

// The mean of both sides' sums per pixel; a side without objects has none.
double mean_of_sides(const ObjectSums& s, double ObjectSums::Side::*score, double both_empty) {
  std::vector<double> means;
  for (const ObjectSums::Side* side : {&s.prediction, &s.reference})
    if (side->pixels > 0) means.push_back(side->*score / double(side->pixels));
  if (means.empty()) return both_empty;
  return means.size() == 1 ? means[0] : (means[0] + means[1]) / 2;
}

}  // namespace

ObjectSums& ObjectSums::operator+=(const ObjectSums& other) {
  tp += other.tp;
  fp += other.fp;
  fn += other.fn;
  const auto add = [](Side& to, const Side& from) {
    to.pixels += from.pixels;
    to.dice += from.dice;
    to.hausdorff += from.hausdorff;
  };
  add(prediction, other.prediction);
  add(reference, other.reference);
  return *this;
}

ObjectSums sum_objects(
    const std::vector<int32_t>& prediction, const std::vector<int32_t>& reference, const MaskExtent& extent) {
  require(prediction.size() == reference.size(), "objects", "maps of ", prediction.size(), " and ",
      reference.size(), " voxels");
  std::vector<int64_t> in_prediction, in_reference;
  std::vector<Object> s = collect(prediction, extent, in_prediction),
                      g = collect(reference, extent, in_reference);
  for (size_t i = 0; i < prediction.size(); ++i)
    if (in_prediction[i] >= 0 && in_reference[i] >= 0) {
      ++s[size_t(in_prediction[i])].shared[size_t(in_reference[i])];
      ++g[size_t(in_reference[i])].shared[size_t(in_prediction[i])];
    }
  ObjectSums sums;
  for (const Object& o : s) {
    const std::optional<size_t> p = partner(o);
    if (p && 2 * o.shared.at(*p) > g[*p].size()) ++sums.tp;
    else ++sums.fp;
  }
  sums.fn = int64_t(g.size()) - sums.tp;
  sums.prediction = sum_side(s, g, extent);
  sums.reference = sum_side(g, s, extent);
  return sums;
}

ObjectScores object_scores(const ObjectSums& s) {
  const int64_t objects = 2 * s.tp + s.fp + s.fn;
  return {objects == 0 ? 1 : 2 * double(s.tp) / double(objects),  // EQ: 9.1 F1
      mean_of_sides(s, &ObjectSums::Side::dice, 1),               // EQ: 9.2 object Dice
      mean_of_sides(s, &ObjectSums::Side::hausdorff, 0)};         // EQ: 9.3 object Hausdorff
}

ObjectSummary summarise_objects(std::vector<ObjectSummary::Image> images) {
  ObjectSummary s;
  s.mean = {0, 0, 0};
  for (const ObjectSummary::Image& image : images) {
    s.total += image.sums;
    const ObjectScores one = object_scores(image.sums);
    const double share = 1 / double(images.size());
    s.mean.f1 += share * one.f1;
    s.mean.dice += share * one.dice;
    s.mean.hausdorff += share * one.hausdorff;
  }
  s.pooled = object_scores(s.total);
  s.images = std::move(images);
  return s;
}

}  // namespace patchcl
