// Queues, their moments, synthetic hard negatives, and the identities of the guided contrastive loss.
#include <gtest/gtest.h>

#include <cmath>

#include "losses/guided_contrastive.h"
#include "losses/hard_negatives.h"
#include "tensor/state.h"

using namespace patchcl;

namespace {

std::vector<float> unit_vector(Rng& rng, int64_t D, int64_t k, double noise = 0.3) {
  std::vector<float> v(static_cast<size_t>(D));
  double norm = 0;
  for (int64_t d = 0; d < D; ++d) {
    v[size_t(d)] = float(rng.normal() * noise + (d == k));
    norm += double(v[size_t(d)]) * double(v[size_t(d)]);
  }
  for (float& e : v) e = float(double(e) / std::sqrt(norm));
  return v;
}

EmbeddingQueue filled(int64_t K, int64_t D, int64_t capacity, int pushes, double noise = 0.3) {
  EmbeddingQueue queue(K, D, capacity);
  Rng rng(3);
  for (int i = 0; i < pushes; ++i)
    for (int64_t k = 0; k < K; ++k) queue.push(k, unit_vector(rng, D, k, noise).data());
  return queue;
}

Points newest(const EmbeddingQueue& q, int64_t k, int64_t n) {
  Points x(q.dimension(), n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t d = 0; d < q.dimension(); ++d) x(d, i) = double(q.newest(k, i)[d]);
  return x;
}

}  // namespace

TEST(EmbeddingQueue, KeepsTheNewestAndTheirMoments) {
  const int64_t D = 5, capacity = 7;
  EmbeddingQueue queue(1, D, capacity);
  Rng rng(1);
  std::vector<std::vector<float>> all;
  for (int i = 0; i < 40; ++i) {
    all.push_back(unit_vector(rng, D, 0));
    queue.push(0, all.back().data());
    const size_t n = std::min<size_t>(all.size(), size_t(capacity));
    ASSERT_EQ(queue.size(0), int64_t(n));
    std::vector<double> mean(size_t(D), 0.), covariance(size_t(D * D), 0.);
    for (size_t j = 0; j < n; ++j)
      for (int64_t d = 0; d < D; ++d) {
        ASSERT_EQ(queue.newest(0, int64_t(j))[d], all[all.size() - 1 - j][size_t(d)]);
        mean[size_t(d)] += double(all[all.size() - 1 - j][size_t(d)]) / double(n);
      }
    for (size_t j = 0; j < n; ++j)
      for (int64_t r = 0; r < D; ++r)
        for (int64_t c = 0; c < D; ++c)
          covariance[size_t(r * D + c)] += (double(queue.newest(0, int64_t(j))[r]) - mean[size_t(r)]) *
                                           (double(queue.newest(0, int64_t(j))[c]) - mean[size_t(c)]) /
                                           double(n);
    const Moments m = queue.moments(0);
    for (size_t d = 0; d < mean.size(); ++d) ASSERT_NEAR(m.mean[d], mean[d], 1e-12);
    for (size_t d = 0; d < covariance.size(); ++d) ASSERT_NEAR(m.covariance[d], covariance[d], 1e-12);
  }
}

TEST(EmbeddingQueue, ResumesWithTheSameBits) {
  EmbeddingQueue a = filled(2, 6, 9, 30), b(2, 6, 9);
  TensorFile file;
  a.save(file);
  b.load(file);
  Rng rng(8);
  for (int i = 0; i < 5; ++i) {
    const std::vector<float> q = unit_vector(rng, 6, 1);
    a.push(1, q.data());
    b.push(1, q.data());
  }
  EXPECT_EQ(a.moments(1).covariance, b.moments(1).covariance);
  EXPECT_EQ(a.moments(0).mean, b.moments(0).mean);
  EmbeddingQueue other(2, 6, 10);
  EXPECT_THROW(other.load(file), Error);
  file.tensors.erase("queue.1.sum");
  EXPECT_THROW(b.load(file), Error);
}

TEST(HardNegatives, EveryAcceptedPointLiesInTheSlab) {
  const EmbeddingQueue q = filled(2, 8, 200, 200);
  const ClassGaussian p(q.moments(0)), n(q.moments(1));
  const Slab slab = find_slab(newest(q, 0, 12), newest(q, 1, 64), p, n);
  EXPECT_GE(slab.high, slab.low);
  Rng rng(4);
  const Points x = draw_in_slab(n, slab, 500, 50, rng);
  EXPECT_GT(x.cols(), 100);
  for (int64_t i = 0; i < x.cols(); ++i) {
    EXPECT_GE(slab.v.dot(x.col(i)), slab.low);
    EXPECT_LE(slab.v.dot(x.col(i)), slab.high);
  }
}

TEST(HardNegatives, ClosedFormMomentsAreThoseOfRejection) {
  const EmbeddingQueue q = filled(2, 4, 300, 300);
  const ClassGaussian p(q.moments(0)), n(q.moments(1));
  const Slab slab = find_slab(newest(q, 0, 12), newest(q, 1, 64), p, n);
  Rng rng(5);
  const Points x = draw_in_slab(n, slab, 20000, 100000, rng);
  ASSERT_EQ(x.cols(), 20000);
  const Moments m = truncated_moments(n, slab);
  const Eigen::VectorXd mean = x.rowwise().mean();
  const Points centred = x.colwise() - mean;
  const Eigen::MatrixXd covariance = centred * centred.transpose() / double(x.cols());
  for (int64_t d = 0; d < 4; ++d) EXPECT_NEAR(m.mean[size_t(d)], mean[d], 0.01);
  for (int64_t d = 0; d < 16; ++d) EXPECT_NEAR(m.covariance[size_t(d)], covariance.data()[d], 0.01);
}

TEST(HardNegatives, TruncatedNormalStaysInItsInterval) {
  for (double low : {-60., -9., -1., 0., 3., 40.})
    for (double width : {1e-6, 0.5, 4.}) {
      const Scalar s = truncated_normal(0, 1, low, low + width);
      EXPECT_GE(s.mean, low);
      EXPECT_LE(s.mean, low + width);
      EXPECT_GE(s.variance, 0);
      EXPECT_LE(s.variance, 1);
    }
  EXPECT_NEAR(truncated_normal(0, 1, 0, 50).mean, std::sqrt(2 / M_PI), 1e-12);
  EXPECT_NEAR(truncated_normal(0, 1, 0, 50).variance, 1 - 2 / M_PI, 1e-12);
}

TEST(HardNegatives, MoveTowardsThePositiveClassInEveryScheme) {
  const EmbeddingQueue q = filled(2, 8, 300, 300, /*noise=*/0.1);
  const Moments own = q.moments(1), positive = q.moments(0);
  const ClassGaussian p(positive), n(own);
  const auto similarity = [&](const Moments& m) {
    double s = 0;
    for (size_t d = 0; d < 8; ++d) s += m.mean[d] * positive.mean[d];
    return s;
  };
  Rng rng(6);
  for (HardNegatives scheme : {HardNegatives::truncated, HardNegatives::released, HardNegatives::replaced}) {
    const Moments m = hard_negatives(newest(q, 0, 12), newest(q, 1, 64), p, n, own, {.scheme = scheme}, rng);
    EXPECT_GT(similarity(m), similarity(own) + 0.02) << int(scheme);
  }
  EXPECT_EQ(
      hard_negatives(newest(q, 0, 12), newest(q, 1, 64), p, n, own, {.scheme = HardNegatives::off}, rng).mean,
      own.mean);
}

// As released they stay in the pool, and their mixes are of easy ones too. Hard points and their mixes lie
// within an ellipsoid around the positive class, so their mean does; those of the others lie outside.
TEST(HardNegatives, AreHarderWhereThoseThatAreNotLeave) {
  const EmbeddingQueue q = filled(2, 8, 300, 300, /*noise=*/0.3);
  const Moments own = q.moments(1);
  const ClassGaussian p(q.moments(0)), n(own);
  const auto distance = [&](HardNegatives scheme) {
    Rng rng(6);
    const Moments m = hard_negatives(newest(q, 0, 12), newest(q, 1, 64), p, n, own, {.scheme = scheme}, rng);
    return p.distances(Eigen::Map<const Eigen::VectorXd>(m.mean.data(), 8))[0];
  };
  const Slab slab = find_slab(newest(q, 0, 12), newest(q, 1, 64), p, n);
  const double hardest = p.distances(slab.nearest_negative)[0];
  EXPECT_LE(distance(HardNegatives::replaced), hardest);
  EXPECT_GT(distance(HardNegatives::released), hardest);
}

TEST(HardNegatives, CoincidingPairFallsBackToTheQueue) {
  EmbeddingQueue q(2, 3, 4);
  const float same[] = {1, 0, 0};
  q.push(0, same);
  q.push(1, same);
  const ClassGaussian p(q.moments(0)), n(q.moments(1));
  Rng rng(1);
  const Moments m = hard_negatives(newest(q, 0, 1), newest(q, 1, 1), p, n, q.moments(1), {}, rng);
  EXPECT_EQ(m.mean, q.moments(1).mean);
}

namespace {

// The loss on plain numbers: n anchors, K classes, shared statistics.
double loss(const std::vector<double>& t, const std::vector<int32_t>& classes,
    const std::vector<double>& mean, const std::vector<double>& covariance,
    const GuidedContrastiveOptions& options, int64_t K, int64_t D) {
  const Arena arena("test");
  Tape tape(arena, {.grad = false});
  TensorFile file;
  put(file, "t", t);
  put(file, "c", classes);
  put(file, "m", mean);
  put(file, "S", covariance);
  put(file, "r", std::vector<uint8_t>(size_t(K), 1));
  const auto var = [&](const char* name, const Shape& s) {
    return tape.constant(file.tensors[name].reshape(s));
  };
  const ClassStatistics s{
      var("m", {K, D}), var("S", {K, D, D}), var("m", {1, K, D}), var("S", {1, K, D, D}), var("r", {K})};
  return guided_contrastive(
      var("t", {int64_t(classes.size()), D}), var("c", {int64_t(classes.size())}), s, options)
      .value()
      .item();
}

}  // namespace

TEST(GuidedContrastive, PointClassesGivePrototypeCrossEntropyAndNoNegativesGiveZero) {
  const int64_t K = 4, D = 6, n = 9;
  Rng rng(2);
  std::vector<double> t, mean, none(size_t(K * D * D), 0.);
  std::vector<int32_t> classes;
  for (int64_t i = 0; i < n; ++i) {
    for (float e : unit_vector(rng, D, i % K)) t.push_back(double(e));
    classes.push_back(int32_t(rng.below(K)));
  }
  for (int64_t k = 0; k < K; ++k)
    for (float e : unit_vector(rng, D, k)) mean.push_back(double(e));
  const double tau = 0.3;
  double cross_entropy = 0;
  for (int64_t i = 0; i < n; ++i) {
    std::vector<double> z(size_t(K), 0.);
    double sum = 0;
    for (int64_t k = 0; k < K; ++k) {
      for (int64_t d = 0; d < D; ++d) z[size_t(k)] += t[size_t(i * D + d)] * mean[size_t(k * D + d)] / tau;
      sum += std::exp(z[size_t(k)]);
    }
    cross_entropy += (std::log(sum) - z[size_t(classes[size_t(i)])]) / double(n);
  }
  EXPECT_NEAR(loss(t, classes, mean, none, {tau, 10, double(K)}, K, D), cross_entropy, 1e-12);
  EXPECT_NEAR(loss(t, classes, mean, none, {tau, 10, 1e-300}, K, D), 0, 1e-12);
}
