// Small ops on flat f64 numbers, each right or with one of the mistakes that people make in exactly that op:
// what wrong_gradients_test.cpp checks the gradient battery with.
#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "autograd/spec.h"

namespace toy {

using namespace patchcl;
using Vec = std::vector<double>;
using Vecs = std::vector<Vec>;

inline Vec read(const Tensor& t) {
  Vec v;
  for (int64_t i = 0; i < t.numel(); ++i) v.push_back(t.item(i));
  return v;
}

inline void write(const Vec& v, const Tensor& t, bool accumulate = false) {
  dispatch(t.dtype(), [&](auto zero) {
    auto* p = t.data<decltype(zero)>();
    for (size_t i = 0; i < v.size(); ++i) p[i] = decltype(zero)(accumulate ? p[i] + v[i] : v[i]);
  });
}

// Formulas of one op on flat f64 numbers. `wrong` names the mistake to make; empty makes none.
struct Toy {
  const char* name;
  std::vector<OpInput> inputs;
  Shape y;
  Vec (*forward)(const Vecs& x);
  Vecs (*backward)(const Vecs& x, const Vec& dy, const std::string& wrong);
};

class ToyOp final : public Op {
 public:
  ToyOp(Toy toy, std::string wrong) : toy_(std::move(toy)), wrong_(std::move(wrong)) {}
  const char* name() const override { return toy_.name; }
  Shape shape(const Shapes&) const override { return toy_.y; }
  Saves saves() const override { return {.inputs = Saves::all}; }

 private:
  void forward_cpu(const Forward& f) const override { write(toy_.forward(values(f.x)), f.y); }
  void backward_cpu(const Backward& b) const override {
    const Vecs dx = toy_.backward(values(b.x), read(b.dy), wrong_);
    for (size_t i = 0; i < dx.size(); ++i)
      if (b.dx[i]) write(dx[i], b.dx[i].t, b.dx[i].accumulate);
  }
  static Vecs values(std::span<const Tensor> x) {
    Vecs v;
    for (const Tensor& t : x) v.push_back(read(t));
    return v;
  }
  Toy toy_;
  std::string wrong_;
};

inline std::vector<Check> audit_toy(const Toy& toy, const std::string& wrong, uint64_t seed) {
  const OpCase c{"toy", std::make_shared<ToyOp>(toy, wrong), toy.inputs, toy.forward};
  return audit({toy.name, {c}}, c, {.seed = seed});
}

// y_j = e^x_j / sum e^x over rows of 7;   dx = y (dy - <y, dy>)
constexpr int kRow = 7;
inline Vec softmax(const Vecs& x) {
  Vec y = x[0];
  for (size_t r = 0; r < y.size(); r += kRow) {
    double sum = 0;
    for (size_t j = r; j < r + kRow; ++j) sum += y[j] = std::exp(y[j]);
    for (size_t j = r; j < r + kRow; ++j) y[j] /= sum;
  }
  return y;
}
inline Vecs softmax_backward(const Vecs& x, const Vec& dy, const std::string& wrong) {
  const Vec y = softmax(x);
  Vec dx(y.size());
  for (size_t r = 0; r < y.size(); r += kRow) {
    double dot = 0;
    for (size_t j = r; j < r + kRow; ++j) dot += y[j] * dy[j];
    if (wrong == "inner product lost") dot = 0;
    for (size_t j = r; j < r + kRow; ++j) dx[j] = y[j] * (dy[j] - dot);
    if (wrong == "diagonal only")
      for (size_t j = r; j < r + kRow; ++j) dx[j] = y[j] * (1 - y[j]) * dy[j];
  }
  return {dx};
}

// y = gamma (x - mean) / sqrt(var + eps) + beta over 18 rows of 2 channels
constexpr int kRows = 18, kChannels = 2;
struct Moments {
  double mean, rstd;
};
inline Moments moments(const Vec& x, int c, int divisor = kRows) {
  double mean = 0, var = 0;
  for (int i = 0; i < kRows; ++i) mean += x[i * kChannels + c] / kRows;
  for (int i = 0; i < kRows; ++i) var += std::pow(x[i * kChannels + c] - mean, 2) / divisor;
  return {mean, 1 / std::sqrt(var + 1e-5)};
}
inline Vec normalise(const Vecs& x) {
  Vec y(x[0].size());
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t c = i % kChannels;
    const Moments m = moments(x[0], int(c));
    y[i] = x[1][c] * (x[0][i] - m.mean) * m.rstd + x[2][c];
  }
  return y;
}
inline Vecs normalise_backward(const Vecs& x, const Vec& dy, const std::string& wrong) {
  Vec dx(x[0].size()), dgamma(kChannels), dbeta(kChannels);
  for (int c = 0; c < kChannels; ++c) {
    const Moments m = moments(x[0], c, wrong == "variance over N-1" ? kRows - 1 : kRows);
    const auto xhat = [&](int i) { return (x[0][i] - m.mean) * m.rstd; };
    for (int i = c; i < kRows * kChannels; i += kChannels) {
      dgamma[c] += dy[i] * xhat(i);
      dbeta[c] += dy[i];
    }
    const double gamma = wrong == "gamma ignored" ? 1 : x[1][c];
    const double mean_term = wrong == "mean term lost" ? 0 : dbeta[c] / kRows;
    const double xhat_term = wrong == "variance term lost" ? 0 : dgamma[c] / kRows;
    for (int i = c; i < kRows * kChannels; i += kChannels)
      dx[i] = gamma * m.rstd * (dy[i] - mean_term - xhat(i) * xhat_term);
  }
  if (wrong == "statistics taken as constants")
    for (size_t i = 0; i < dx.size(); ++i)
      dx[i] = x[1][i % kChannels] * moments(x[0], int(i % kChannels)).rstd * dy[i];
  return {dx, dgamma, dbeta};
}

// 3x3 convolution with padding 1 on (5,5,2) -> (5,5,3). fn(x index, w index, y index) for every product of
// the sum.
constexpr int kSide = 5, kIn = 2, kOut = 3;
template <class F> void taps(F&& fn) {
  for (int i = 0; i < kSide; ++i)
    for (int j = 0; j < kSide; ++j)
      for (int p = 0; p < 3; ++p)
        for (int q = 0; q < 3; ++q) {
          const int u = i + p - 1, v = j + q - 1;
          if (u < 0 || v < 0 || u >= kSide || v >= kSide) continue;
          for (int a = 0; a < kIn; ++a)
            for (int b = 0; b < kOut; ++b)
              fn((u * kSide + v) * kIn + a, ((p * 3 + q) * kIn + a) * kOut + b, (i * kSide + j) * kOut + b);
        }
}
inline Vec convolve(const Vecs& x) {
  Vec y(kSide * kSide * kOut);
  for (size_t i = 0; i < y.size(); ++i) y[i] = x[2][i % kOut];
  taps([&](int a, int w, int b) { y[b] += x[0][a] * x[1][w]; });
  return y;
}
inline Vecs convolve_backward(const Vecs& x, const Vec& dy, const std::string& wrong) {
  Vec dx(x[0].size()), dw(x[1].size()), db(kOut);
  taps([&](int a, int w, int b) {
    const int flipped = (8 - w / (kIn * kOut)) * kIn * kOut + w % (kIn * kOut);
    dw[wrong == "dw kernel flipped" ? flipped : w] += x[0][a] * dy[b];
    const bool first_row = a < kSide * kIn, first_tap_row = w < 3 * kIn * kOut;
    if (!(wrong == "dx border taps lost" && first_row && first_tap_row))
      dx[a] += x[1][wrong == "dx kernel not flipped" ? flipped : w] * dy[b];
  });
  for (size_t i = 0; i < dy.size(); ++i)
    db[i % kOut] += dy[i] / (wrong == "db mean, not sum" ? kSide * kSide : 1);
  if (wrong == "db of one channel lost") db[1] = 0;
  return {dx, dw, db};
}

// 3x3 maximum with stride 2 on (7,7): windows overlap, so one x may win twice.
inline int winner(const Vec& x, int y) {
  int best = -1;
  for (int p = 0; p < 3; ++p)
    for (int q = 0; q < 3; ++q) {
      const int k = (2 * (y / 3) + p) * 7 + 2 * (y % 3) + q;
      if (best < 0 || x[k] > x[best]) best = k;
    }
  return best;
}
inline Vec pool(const Vecs& x) {
  Vec y;
  for (int i = 0; i < 9; ++i) y.push_back(x[0][winner(x[0], i)]);
  return y;
}
inline Vecs pool_backward(const Vecs& x, const Vec& dy, const std::string& wrong) {
  Vec dx(x[0].size());
  for (int i = 0; i < 9; ++i) {
    const int k = winner(x[0], i), neighbour = k ? k - 1 : k + 1;
    if (wrong == "second win overwrites the first") dx[k] = dy[i];
    else dx[wrong == "neighbour of the winner" ? neighbour : k] += dy[i];
  }
  return {dx};
}

// Mean cross-entropy of 1024 pixels with 4 classes: each gradient is below 1e-3, so absolute tolerances see
// nothing.
constexpr int kPixels = 1024, kClasses = 4;
inline Vec cross_entropy(const Vecs& x) {
  double loss = 0;
  for (int i = 0; i < kPixels; ++i) {
    double sum = 0;
    for (int k = 0; k < kClasses; ++k) sum += std::exp(x[0][i * kClasses + k]);
    loss += (std::log(sum) - x[0][i * kClasses + i % kClasses]) / kPixels;
  }
  return {loss};
}
inline Vecs cross_entropy_backward(const Vecs& x, const Vec& dy, const std::string& wrong) {
  Vec dx(x[0].size());
  for (int i = 0; i < kPixels; ++i) {
    double sum = 0;
    for (int k = 0; k < kClasses; ++k) sum += std::exp(x[0][i * kClasses + k]);
    for (int k = 0; k < kClasses; ++k) {
      const double p = std::exp(x[0][i * kClasses + k]) / sum,
                   onehot = k == i % kClasses && wrong != "label term lost";
      dx[i * kClasses + k] =
          (p - onehot) / (wrong == "sum, not mean" ? 1 : kPixels) * (wrong == "dy ignored" ? 1 : dy[0]);
    }
  }
  if (wrong == "all zero") dx.assign(dx.size(), 0);
  if (wrong == "10 % too large")
    for (double& e : dx) e *= 1.1;
  if (wrong == "last pixel forgotten") dx.back() = 0;
  return {dx};
}

inline const Toy kSoftmax{"softmax", {{{4, kRow}, draw::normal()}}, {4, kRow}, softmax, softmax_backward};
inline const Toy kNorm{"batch_norm", {{{kRows, kChannels}}, {{kChannels}}, {{kChannels}}}, {kRows, kChannels},
    normalise, normalise_backward};
inline const Toy kConv{"conv", {{{kSide, kSide, kIn}}, {{3, 3, kIn, kOut}}, {{kOut}}}, {kSide, kSide, kOut},
    convolve, convolve_backward};
inline const Toy kPool{"max_pool", {{{7, 7}, draw::distinct()}}, {3, 3}, pool, pool_backward};
inline const Toy kLoss{"cross_entropy", {{{kPixels, kClasses}}}, {1}, cross_entropy, cross_entropy_backward};

struct Mistake {
  const Toy& toy;
  const char* wrong;
};
inline const Mistake kMistakes[] = {
    {kSoftmax, "inner product lost"},
    {kSoftmax, "diagonal only"},
    {kNorm, "variance over N-1"},
    {kNorm, "gamma ignored"},
    {kNorm, "mean term lost"},
    {kNorm, "variance term lost"},
    {kNorm, "statistics taken as constants"},
    {kConv, "dw kernel flipped"},
    {kConv, "dx border taps lost"},
    {kConv, "dx kernel not flipped"},
    {kConv, "db mean, not sum"},
    {kConv, "db of one channel lost"},
    {kPool, "second win overwrites the first"},
    {kPool, "neighbour of the winner"},
    {kLoss, "label term lost"},
    {kLoss, "sum, not mean"},
    {kLoss, "dy ignored"},
    {kLoss, "all zero"},
    {kLoss, "10 % too large"},
    {kLoss, "last pixel forgotten"},
};

}  // namespace toy
