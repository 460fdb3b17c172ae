#include "train/methods/ua_mt.h"

#include <cmath>

#include "autograd/ops/arith.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/softmax.h"
#include "losses/consistency.h"
#include "tensor/device.h"

namespace patchcl {

void UaMt::start(const TrainState& s) {
  MeanTeacher::start(s);
  threshold_ = Arena("method", s.student->values().device()).zeros({1}, DType::f64);
}

void UaMt::prepare(const TrainState& s) {
  MeanTeacher::prepare(s);
  const double threshold = (0.75 + 0.25 * ramp(s)) * std::log(2.);  // EQ: 4.4 UA-MT threshold
  copy_bytes(threshold_.raw(), threshold_.device(), &threshold, Device::cpu, sizeof threshold);
}

Tensor UaMt::mean_prediction(Step& step) const {
  Tape forward_only(step.tape.arena(), {.grad = false});
  const Var images = step.unlabeled_images();
  Var mean;
  for (int64_t t = 0; t < options_.dropout_passes; ++t) {
    const uint32_t pass = site::uncertainty + uint32_t(t) * 100;
    const Tensor p =
        predict(step.tape, step.s, *step.s.teacher, noisy(step, images, pass + 99), /*training=*/true, pass);
    const Var share = affine(forward_only.constant(p), 1 / double(options_.dropout_passes));
    mean = mean ? add(mean, share) : share;
  }
  return mean.value();
}

Var UaMt::consistency(Step& step, const Var& logits, const Tensor& target) {
  const Tensor q = mean_prediction(step);
  const bool gpu = q.device() == Device::cuda && q.dtype() == DType::f32;
  const Arena memory = gpu ? step.tape.arena() : Arena("certainty");
  const Shape& s = q.shape();
  const Tensor weight = memory.empty({s[0], s[1], s[2]}, DType::f32);
  if (!step.tape.dry()) {
    Tensor threshold = threshold_;
    if (!gpu && threshold.device() == Device::cuda) {
      threshold = memory.empty({1}, DType::f64);
      copy(threshold_, threshold);
    }
    find_certain_pixels(gpu ? q : on_host(q), threshold, weight, memory);
  }
  return mean_squared_error(softmax(logits), step.tape.constant(target, "target"),
      upload(step.tape, weight, step.dtype(), "certain pixels"));
}

}  // namespace patchcl
