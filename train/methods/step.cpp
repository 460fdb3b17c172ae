#include "train/methods/step.h"

#include "autograd/ops/arith.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/softmax.h"
#include "data/components.h"
#include "losses/cross_entropy.h"
#include "losses/dice.h"
#include "tensor/parallel.h"

namespace patchcl {

Tensor on_host(const Tensor& t) {
  const DType dtype = t.dtype() == DType::f64 ? DType::f32 : t.dtype();
  if (t.device() == Device::cpu && dtype == t.dtype()) return t;
  const Arena host("host copy");
  Tensor here = t;
  if (t.device() != Device::cpu) {
    here = host.empty(t.shape(), t.dtype());
    copy(t, here);
  }
  if (dtype == t.dtype()) return here;
  const Tensor f32 = host.empty(t.shape(), dtype);
  convert(here, f32);
  return f32;
}

Place Step::place(bool host_only) const {
  const bool gpu = tape.arena().device() == Device::cuda && dtype() == DType::f32 && !host_only;
  return {gpu ? tape.arena() : Arena("decisions"), gpu};
}

Var Step::upload(const Tensor& t, const std::string& label) const {
  const DType wanted = t.dtype() == DType::f32 ? dtype() : t.dtype();
  if (wanted == t.dtype() && t.device() == tape.arena().device()) return tape.constant(t, label);
  const Tensor there = tape.arena().empty(t.shape(), wanted);
  work([&] {
    Tensor from = t;
    if (wanted != t.dtype()) {
      from = Arena("conversion").empty(t.shape(), wanted);
      convert(t, from);
    }
    copy(from, there);
  });
  return tape.constant(there, label);
}

UNet::Output Step::student_pass(const Var& images, uint32_t site) const {
  Pass pass(tape, *s.student, /*training=*/true, s.rng, site);
  return s.model->forward(pass, images);
}

Prediction Step::predict(
    const ParamStore& weights, const Var& x, const PredictMode& mode, uint32_t site) const {
  return without_gradient([&](const Step& step) -> Prediction {
    Pass pass(step.tape, weights, /*training=*/mode.dropout, s.rng, site);
    pass.set_norm(mode.norm);
    const Tape::Scope scope(step.tape, "teacher");
    const UNet::Output out = s.model->forward(pass, step.tape.constant(x.value(), "images"));
    return {softmax(out.logits).value(), out.decoder.back().value()};
  });
}

Var Step::supervised_loss(const Var& logits, const Var& labels, const Var& weight) const {
  const Var ce = cross_entropy(logits, labels, weight, s.border_weight),
            dice = dice_loss(softmax(logits), labels, weight);
  log.terms.push_back({term::ce, ce});
  log.terms.push_back({term::dice, dice});
  return affine(add(ce, dice), 0.5);  // EQ: 4.4 supervised loss
}

void find_pseudo_labels(const Tensor& p, double confidence, bool largest_component, const PseudoLabels& to) {
  if (p.device() == Device::cuda) {
    CUDA_ONLY(return find_pseudo_labels_cuda(p, confidence, to);)
  }
  const Shape& s = p.shape();
  const int64_t pixels = s[1] * s[2], K = s[3];
  parallel_for(s[0], [&](int64_t image) {
    uint8_t* label = to.labels.data<uint8_t>() + image * pixels;
    float* weight = to.weight.data<float>() + image * pixels;
    for (int64_t m = 0; m < pixels; ++m)
      decide_pixel(p.data<float>() + (image * pixels + m) * K, K, float(confidence), label[m], weight[m]);
    if (largest_component) keep_largest_components(label, s[1], s[2]);
  });
}

PseudoLabels pseudo_labels_of(
    const Step& step, const Tensor& p, double confidence, bool largest_component, const Place& place) {
  const Shape s{p.shape()[0], p.shape()[1], p.shape()[2]};
  const PseudoLabels y{place.memory.empty(s, DType::u8), place.memory.empty(s, DType::f32)};
  step.work([&] { find_pseudo_labels(place.here(p), confidence, largest_component, y); });
  return y;
}

void find_certain_pixels(
    const Tensor& q, const Tensor& threshold, const Tensor& weight, [[maybe_unused]] const Arena& memory) {
  if (q.device() == Device::cuda) {
    CUDA_ONLY(return find_certain_pixels_cuda(q, threshold, weight, memory);)
  }
  const int64_t pixels = weight.numel(), K = q.shape()[-1];
  const float* p = q.data<float>();
  float* w = weight.data<float>();
  const double most = threshold.data<double>()[0];
  parallel_chunks(pixels, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) w[m] = is_certain(p + m * K, K, most);
  });
  const float each = certain_weight(pixels, K, chunked_sum<double>(pixels, [&](int64_t m) { return w[m]; }));
  for (int64_t m = 0; m < pixels; ++m) w[m] = w[m] > 0 ? each : 0;
}

}  // namespace patchcl
