// Synthetic hard negatives (METHODS 1.8): what a negative class n looks like close to a positive class p.
//
// With Mahalanobis distances M_p, M_n to the two queues' Gaussians:
//   a_n = the negative closest to p, a_p = the anchor closest to n, v = a_n - a_p;
//   hard negatives are x ~ N(mu_n, Sigma_n) in the slab l <= <v,x> <= u, l = <v,a_p>, u = <v,a_n>.
// The loss needs only their mean and covariance.
// truncated: s = <v,x> is Gaussian with mean <v,mu_n> and variance w = v^T Sigma_n v, cut to [l,u]; given s,
//   x = y + c (s - <v,y>),  y ~ N(mu_n, Sigma_n),  c = Sigma_n v / w,  so that without drawing anything
//   mu~ = mu_n + c (E[s] - <v,mu_n>),   Sigma~ = Sigma_n - c c^T (w - Var[s]).
// released: rejection in blocks of 1000, at most `blocks`; the third closest to n of 3m points stays; points
//   farther from p than a_n are not hard, and for each a random mix of two others joins them; L2-normalised.
// replaced: the same, but the points closest to p stay, and those that are not hard leave before the mixes of
//   the others join (ours: what the release seems to have meant); where none is hard all stay.
// Left out of `truncated`: the release's sort towards the negative mean, which removes the hardness again,
// its mixes and its normalisation. m is `samples` here, in the release the size of the negative's queue.
// Host code in double: constants of the loss, no gradient.
#pragma once
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Cholesky>

#include "losses/embedding_queue.h"
#include "tensor/random.h"

namespace patchcl {

enum class HardNegatives { off, truncated, released, replaced };

struct HardNegativeOptions {
  HardNegatives scheme = HardNegatives::truncated;
  int64_t candidates = 64;  // how many of the newest negatives compete for a_n
  int64_t samples = 256;    // m of the released scheme
  double beta = 0.5;        // its mixes are w x1 + (1-w) x2, w uniform in beta +- 0.2
  int64_t blocks = 50;      // its cap
};

using Points = Eigen::MatrixXd;  // (D, n): one point per column

// A class as hard negatives see it. The covariance is shrunk, (1 - rho) Sigma + rho tr(Sigma)/D I with rho =
// 0.05, so that a queue with fewer embeddings than dimensions has a Cholesky factor.
class ClassGaussian {
 public:
  explicit ClassGaussian(const Moments& moments);
  const Eigen::VectorXd& mean() const { return mean_; }
  const Eigen::MatrixXd& covariance() const { return covariance_; }
  // (x - mu)^T Sigma^-1 (x - mu) of each point.
  Eigen::VectorXd distances(const Points& x) const;
  Points draw(int64_t n, Rng& rng) const;

 private:
  Eigen::VectorXd mean_;
  Eigen::MatrixXd covariance_;
  Eigen::LLT<Eigen::MatrixXd> factor_;
};

struct Slab {
  Eigen::VectorXd v, nearest_negative;
  double low = 0, high = 0;  // equal when the closest pair coincides
};
Slab find_slab(const Points& anchors, const Points& negatives, const ClassGaussian& positive,
    const ClassGaussian& negative);

// Mean and variance of a Gaussian cut to [low, high].
struct Scalar {
  double mean, variance;
};
Scalar truncated_normal(double mean, double variance, double low, double high);

Moments truncated_moments(const ClassGaussian& negative, const Slab& slab);

// Points of N(mu, Sigma) in the slab by rejection: n, or fewer when the cap is reached.
Points draw_in_slab(const ClassGaussian& g, const Slab& slab, int64_t n, int64_t blocks, Rng& rng);

// The moments that stand for class n as a negative of class p; `own` are its queue's, kept where nothing
// better is found.
Moments hard_negatives(const Points& anchors, const Points& negatives, const ClassGaussian& positive,
    const ClassGaussian& negative, const Moments& own, const HardNegativeOptions& options, Rng& rng);

}  // namespace patchcl
