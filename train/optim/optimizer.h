// What changes parameters: SGD with momentum, Adam, and the moving average that makes a teacher.
//
// Each is one pass over flat buffers (layers/params.h), written once below as a rule for one element and run
// by the CPU loop (optimizer.cpp) and the CUDA kernel (optimizer.cu). What changes from step to step -
// learning rate, bias corrections, the average's alpha - lies in a small f64 tensor on the buffers' device:
// set() writes it, step() and update() only read it, so a captured CUDA graph replays them with new values.
#pragma once
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tensor/arena.h"
#include "tensor/hd.h"

namespace patchcl {

// As torch.optim.SGD (no dampening, no Nesterov); the weight decay is part of the gradient.
struct SgdRule {
  double momentum = 0.9, weight_decay = 1e-4;
  // rates: lr. m is zero before the first step, so that the first m is d, as there.
  template <class T> HD void operator()(const double* rates, T& p, const T& g, T& m) const {
    const T d = g + T(weight_decay) * p;
    m = T(momentum) * m + d;  // EQ: 4.4 SGD momentum
    p -= T(rates[0]) * m;     // EQ: 4.4 SGD step
  }
};

// As torch.optim.Adam: Kingma and Ba, ICLR 2015, with eps outside the root and the weight decay in the
// gradient.
struct AdamRule {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  // rates: lr / (1 - beta1^t), sqrt(1 - beta2^t)
  template <class T> HD void operator()(const double* rates, T& p, const T& g, T& m, T& v) const {
    const T d = g + T(weight_decay) * p;
    m = T(beta1) * m + T(1 - beta1) * d;
    v = T(beta2) * v + T(1 - beta2) * d * d;
    p -= T(rates[0]) * m / (std::sqrt(v) / T(rates[1]) + T(eps));
  }
};

// rates: alpha, 1 - alpha
struct EmaRule {
  template <class T> HD void operator()(const double* rates, T& teacher, const T& student) const {
    teacher = T(rates[0]) * teacher + T(rates[1]) * student;  // EQ: 4.4 teacher average
  }
};

// State by name, for checkpoints; parameters themselves are not part of it.
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

// Part of a flat buffer.
struct Elements {
  int64_t begin, count;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Before step t = 1, 2, ...
  virtual void set(double lr, int64_t t) = 0;
  // parameters -= update, both flat and of the size given to the constructor; of these elements only.
  virtual void step(const Tensor& parameters, const Tensor& gradients, const Elements& which) = 0;
  void step(const Tensor& parameters, const Tensor& gradients) {
    step(parameters, gradients, {0, parameters.numel()});
  }
  virtual NamedTensors state() const = 0;
  // As before the first step.
  void reset() const;
};

// For `size` parameters of `dtype`; the state starts at zero and comes from `arena`.
class Sgd final : public Optimizer {
 public:
  Sgd(SgdRule rule, int64_t size, DType dtype, const Arena& arena);
  void set(double lr, int64_t t) override;
  using Optimizer::step;
  void step(const Tensor& parameters, const Tensor& gradients, const Elements& which) override;
  NamedTensors state() const override { return {{"sgd.momentum", momentum_}}; }

 private:
  SgdRule rule_;
  Tensor momentum_, rates_;
};

class Adam final : public Optimizer {
 public:
  Adam(AdamRule rule, int64_t size, DType dtype, const Arena& arena);
  void set(double lr, int64_t t) override;
  using Optimizer::step;
  void step(const Tensor& parameters, const Tensor& gradients, const Elements& which) override;
  NamedTensors state() const override { return {{"adam.m", m_}, {"adam.v", v_}}; }

 private:
  AdamRule rule_;
  Tensor m_, v_, rates_;
};

enum class OptimizerKind { sgd, adam };
struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::sgd;
  double momentum = 0.9, weight_decay = 1e-4;  // momentum of SGD
};
std::unique_ptr<Optimizer> make_optimizer(
    const OptimizerOptions& options, int64_t size, DType dtype, const Arena& arena);

// teacher = alpha teacher + (1 - alpha) student, for parameters and batch-norm buffers alike.
class Ema {
 public:
  explicit Ema(const Arena& arena);
  void set(double alpha);
  void update(const Tensor& teacher, const Tensor& student);

 private:
  Tensor rates_;
};

}  // namespace patchcl
