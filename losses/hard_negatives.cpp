#include "losses/hard_negatives.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace patchcl {

namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr double kShrinkage = 0.05;
constexpr int64_t kBlock = 1000, kFewest = 8;

Moments to_moments(const VectorXd& mean, const MatrixXd& covariance) {
  return {std::vector<double>(mean.data(), mean.data() + mean.size()),
      std::vector<double>(covariance.data(), covariance.data() + covariance.size())};
}

double density(double z) { return std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi); }

// Phi(b) - Phi(a) without cancellation in the upper tail.
double mass(double a, double b) {
  if (a > 0) std::swap(a = -a, b = -b);
  return (std::erfc(-b / M_SQRT2) - std::erfc(-a / M_SQRT2)) / 2;
}

Points columns(const Points& x, const std::vector<int64_t>& index) {
  Points y(x.rows(), int64_t(index.size()));
  for (size_t i = 0; i < index.size(); ++i) y.col(int64_t(i)) = x.col(index[i]);
  return y;
}

// Steps 3 to 7 of the released scheme, or of the one where what is not hard is replaced.
Moments released_moments(const Slab& slab, const ClassGaussian& positive, const ClassGaussian& negative,
    const Moments& own, const HardNegativeOptions& o, Rng& rng) {
  const Points drawn = draw_in_slab(negative, slab, 3 * o.samples, o.blocks, rng);
  if (drawn.cols() < kFewest) return own;
  const bool replaced = o.scheme == HardNegatives::replaced;
  const VectorXd from = replaced ? positive.distances(drawn) : negative.distances(drawn);
  std::vector<int64_t> order(size_t(drawn.cols()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return from[a] < from[b]; });
  order.resize(std::min(order.size(), size_t(o.samples)));
  Points pool = columns(drawn, order);
  const VectorXd from_positive = positive.distances(pool);
  const double hardest = positive.distances(slab.nearest_negative)[0];
  std::vector<int64_t> hard;
  for (int64_t i = 0; i < pool.cols(); ++i)
    if (from_positive[i] <= hardest) hard.push_back(i);
  const int64_t not_hard = pool.cols() - int64_t(hard.size());
  if (replaced && !hard.empty()) pool = columns(pool, hard);
  const int64_t kept = pool.cols();
  pool.conservativeResize(Eigen::NoChange, kept + not_hard);
  for (int64_t i = kept; i < pool.cols(); ++i) {
    const double w = rng.uniform(o.beta - 0.2, o.beta + 0.2);
    pool.col(i) =
        w * pool.col(rng.below(i)) + (1 - w) * pool.col(rng.below(i));  // EQ: 1.8 mixed hard negative
  }
  pool.colwise().normalize();
  const VectorXd mean = pool.rowwise().mean();
  const Points centred = pool.colwise() - mean;
  return to_moments(mean, centred * centred.transpose() / double(pool.cols()));
}

}  // namespace

ClassGaussian::ClassGaussian(const Moments& m) {
  const int64_t D = int64_t(m.mean.size());
  mean_ = Eigen::Map<const VectorXd>(m.mean.data(), D);
  covariance_ = Eigen::Map<const MatrixXd>(m.covariance.data(), D, D);
  const double spread = std::max(covariance_.trace() / double(D), 1e-12);
  covariance_ = (1 - kShrinkage) * covariance_ + kShrinkage * spread * MatrixXd::Identity(D, D);
  factor_.compute(covariance_);
}

VectorXd ClassGaussian::distances(const Points& x) const {
  return factor_.matrixL()
      .solve(x.colwise() - mean_)
      .colwise()
      .squaredNorm();  // EQ: 1.8 Mahalanobis distance
}

Points ClassGaussian::draw(int64_t n, Rng& rng) const {
  Points z(mean_.size(), n);
  for (double& e : z.reshaped()) e = rng.normal();
  return (factor_.matrixL() * z).colwise() + mean_;
}

Slab find_slab(const Points& anchors, const Points& negatives, const ClassGaussian& positive,
    const ClassGaussian& negative) {
  Eigen::Index n, p;
  positive.distances(negatives).minCoeff(&n);
  negative.distances(anchors).minCoeff(&p);
  Slab s;
  s.nearest_negative = negatives.col(n);
  s.v = negatives.col(n) - anchors.col(p);
  s.low = s.v.dot(anchors.col(p));
  s.high = s.v.dot(negatives.col(n));  // EQ: 1.8 slab
  return s;
}

Scalar truncated_normal(double mean, double variance, double low, double high) {
  const double sd = std::sqrt(variance), a = (low - mean) / sd, b = (high - mean) / sd, Z = mass(a, b);
  if (!(Z > 1e-280)) return {std::clamp(mean, low, high), 0};  // all mass at the near bound
  const double shift = (density(a) - density(b)) / Z;
  const double cut = (a * density(a) - b * density(b)) / Z;
  return {std::clamp(mean + sd * shift, low, high), variance * std::clamp(1 + cut - shift * shift, 0., 1.)};
}

Moments truncated_moments(const ClassGaussian& negative, const Slab& slab) {
  const VectorXd Sv = negative.covariance() * slab.v;
  const double w = slab.v.dot(Sv), centre = slab.v.dot(negative.mean());
  const VectorXd c = Sv / w;
  const Scalar s = truncated_normal(centre, w, slab.low, slab.high);
  return to_moments(negative.mean() + c * (s.mean - centre),          // EQ: 1.8 truncated mean
      negative.covariance() - c * c.transpose() * (w - s.variance));  // EQ: 1.8 truncated covariance
}

Points draw_in_slab(const ClassGaussian& g, const Slab& slab, int64_t n, int64_t blocks, Rng& rng) {
  Points kept(slab.v.size(), n);
  int64_t count = 0;
  for (int64_t block = 0; block < blocks && count < n; ++block) {
    const Points x = g.draw(kBlock, rng);
    const VectorXd s = x.transpose() * slab.v;
    for (int64_t i = 0; i < kBlock && count < n; ++i)
      if (slab.low <= s[i] && s[i] <= slab.high) kept.col(count++) = x.col(i);
  }
  kept.conservativeResize(Eigen::NoChange, count);
  return kept;
}

Moments hard_negatives(const Points& anchors, const Points& negatives, const ClassGaussian& positive,
    const ClassGaussian& negative, const Moments& own, const HardNegativeOptions& o, Rng& rng) {
  if (o.scheme == HardNegatives::off) return own;
  const Slab slab = find_slab(anchors, negatives, positive, negative);
  if (!(slab.high - slab.low > 1e-12)) return own;
  return o.scheme == HardNegatives::truncated ? truncated_moments(negative, slab)
                                              : released_moments(slab, positive, negative, own, o, rng);
}

}  // namespace patchcl
