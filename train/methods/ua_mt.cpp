#include "train/methods/ua_mt.h"

#include <cmath>

#include "autograd/ops/arith.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/softmax.h"
#include "losses/consistency.h"
#include "tensor/device.h"

namespace patchcl {

namespace {
AddMethod ua_mt{{20, "ua-mt", "mean teacher where the teacher is certain (Yu et al. 2019)", make<UaMt>}};
}

UaMt::UaMt() {
  options().add(
      "dropout-passes", dropout_passes_, "Noisy passes of the teacher that tell its certainty", at_least(1));
}

void UaMt::start(const TrainState& s) {
  NoisyTeacher::start(s);
  threshold_ = Arena("method", s.student->values().device()).zeros({1}, DType::f64);
}

void UaMt::prepare(const TrainState& s) {
  NoisyTeacher::prepare(s);
  const double threshold = (0.75 + 0.25 * ramp(s)) * std::log(2.);  // EQ: 4.4 UA-MT threshold
  copy_bytes(threshold_.raw(), threshold_.device(), &threshold, Device::cpu, sizeof threshold);
}

Tensor UaMt::mean_prediction(Step& step) const {
  const Var images = step.unlabeled(step.b.images(), "unlabelled images");
  const PredictMode dropping{teacher_mode().norm, /*dropout=*/true};  // what tells the passes apart
  return step.without_gradient([&](const Step& constant) {
    Var mean;
    for (int64_t t = 0; t < dropout_passes_; ++t) {
      const uint32_t pass = site::uncertainty + uint32_t(t) * 100;
      const Var seen = noisy(step, images, pass + 99);
      const Tensor p = step.predict(*step.s.teacher, seen, dropping, pass).probabilities;
      const Var share = affine(constant.tape.constant(p), 1 / double(dropout_passes_));
      mean = mean ? add(mean, share) : share;
    }
    return mean.value();
  });
}

Var UaMt::consistency(Step& step, const Var& logits, const Tensor& target) {
  const Tensor q = mean_prediction(step);
  const Place place = step.place();
  const Shape& s = q.shape();
  const Tensor weight = place.memory.empty({s[0], s[1], s[2]}, DType::f32);
  step.work([&] {
    Tensor threshold = threshold_;
    if (!place.gpu) {
      threshold = place.memory.empty({1}, DType::f64);
      copy(threshold_, threshold);
    }
    find_certain_pixels(place.here(q), threshold, weight, place.memory);
  });
  return mean_squared_error(
      softmax(logits), step.tape.constant(target, "target"), step.upload(weight, "certain pixels"));
}

}  // namespace patchcl
