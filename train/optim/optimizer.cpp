#include "train/optim/optimizer.h"

#include "tensor/device.h"
#include "tensor/parallel.h"

namespace patchcl {

// In optimizer.cu.
template <class T>
void update_cuda(const SgdRule& rule, const double* rates, int64_t n, T* p, const T* g, T* m);
template <class T>
void update_cuda(const AdamRule& rule, const double* rates, int64_t n, T* p, const T* g, T* m, T* v);
template <class T>
void update_cuda(const EmaRule& rule, const double* rates, int64_t n, T* teacher, const T* student);

namespace {

// One loop is both the reference and the fast kernel: it runs at memory speed.
template <class Rule, class... Buffer>
void update_cpu(const Rule& rule, const double* rates, int64_t n, Buffer*... buffers) {
  parallel_chunks(n, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) rule(rates, buffers[i]...);
  });
}

template <class Rule, class... Buffers> void update(
    const char* name, const Rule& rule, const Tensor& rates, const Tensor& first, const Buffers&... others) {
  const auto fits = [&](const Tensor& t) {
    return t.numel() == first.numel() && t.dtype() == first.dtype() && t.device() == first.device();
  };
  require((fits(others) && ...) && rates.device() == first.device(), name,
      "wants flat buffers of one size, type and device");
  dispatch(first.dtype(), [&](auto zero) {
    using T = decltype(zero);
    CUDA_ONLY(if (first.device() == Device::cuda) return update_cuda<T>(
        rule, rates.data<double>(), first.numel(), first.data<T>(), others.template data<T>()...);)
    update_cpu(rule, rates.data<double>(), first.numel(), first.data<T>(), others.template data<T>()...);
  });
}

Tensor part(const Tensor& flat, const Elements& which) { return flat.window(which.begin, {which.count}); }

// Asynchronous on a GPU: the driver keeps a copy of the host's few bytes.
void write(const Tensor& rates, std::initializer_list<double> values) {
  copy_bytes(rates.raw(), rates.device(), values.begin(), Device::cpu, rates.bytes());
}

}  // namespace

Sgd::Sgd(SgdRule rule, int64_t size, DType dtype, const Arena& arena)
    : rule_(rule), momentum_(arena.zeros({size}, dtype)), rates_(arena.zeros({1}, DType::f64)) {}
void Sgd::set(double lr, int64_t) { write(rates_, {lr}); }
void Sgd::step(const Tensor& parameters, const Tensor& gradients, const Elements& which) {
  update("sgd", rule_, rates_, part(parameters, which), part(gradients, which), part(momentum_, which));
}

Adam::Adam(AdamRule rule, int64_t size, DType dtype, const Arena& arena)
    : rule_(rule), m_(arena.zeros({size}, dtype)), v_(arena.zeros({size}, dtype)),
      rates_(arena.zeros({2}, DType::f64)) {}
void Adam::set(double lr, int64_t t) {
  write(
      rates_, {lr / (1 - std::pow(rule_.beta1, double(t))), std::sqrt(1 - std::pow(rule_.beta2, double(t)))});
}
void Adam::step(const Tensor& parameters, const Tensor& gradients, const Elements& which) {
  update("adam", rule_, rates_, part(parameters, which), part(gradients, which), part(m_, which),
      part(v_, which));
}

void Optimizer::reset() const {
  for (const auto& [name, t] : state()) fill_zero(t);
}

std::unique_ptr<Optimizer> make_optimizer(
    const OptimizerOptions& o, int64_t size, DType dtype, const Arena& arena) {
  if (o.kind == OptimizerKind::adam)
    return std::make_unique<Adam>(AdamRule{.weight_decay = o.weight_decay}, size, dtype, arena);
  const SgdRule rule{.momentum = o.momentum, .weight_decay = o.weight_decay};
  return std::make_unique<Sgd>(rule, size, dtype, arena);
}

Ema::Ema(const Arena& arena) : rates_(arena.zeros({2}, DType::f64)) {}
void Ema::set(double alpha) { write(rates_, {alpha, 1 - alpha}); }
void Ema::update(const Tensor& teacher, const Tensor& student) {
  patchcl::update("ema", EmaRule{}, rates_, teacher, student);
}

}  // namespace patchcl
