#include "train/methods/ua_mt.h"

#include <cmath>

#include "autograd/ops/softmax.h"
#include "losses/consistency.h"
#include "tensor/parallel.h"

namespace patchcl {

Tensor certainty_weight(const Tensor& q, double threshold) {
  const Shape& s = q.shape();
  const int64_t pixels = s.rows(), K = s[-1];
  const Tensor weight = Arena("certainty").empty({s[0], s[1], s[2]}, DType::f32);
  float* w = weight.data<float>();
  const float* p = q.data<float>();
  parallel_chunks(pixels, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      float U = 0;
      for (int64_t k = 0; k < K; ++k)
        if (const float pk = p[m * K + k]; pk > 0) U -= pk * std::log(pk);  // EQ: 4.4 uncertainty
      w[m] = double(U) < threshold;
    }
  });
  const double certain = chunked_sum<double>(pixels, [&](int64_t m) { return w[m]; });
  const float norm = float(double(pixels * K) / (2 * certain + 1e-16));  // EQ: 4.4 UA-MT normalisation
  for (int64_t m = 0; m < pixels; ++m) w[m] *= w[m] > 0 ? norm : 0;
  return weight;
}

Tensor UaMt::mean_prediction(Step& step) const {
  Tensor mean;
  const Var images = step.unlabeled_images();
  for (int64_t t = 0; t < options_.dropout_passes; ++t) {
    const uint32_t pass = site::uncertainty + uint32_t(t) * 100;
    const Tensor p = predict(step.tape, step.s, *step.s.teacher, noisy(step, images, pass + 99), /*training=*/true, pass);
    if (step.tape.dry()) return Arena("uncertainty").empty(p.shape(), DType::f32);
    const Tensor q = on_host(p);
    if (!mean) mean = Arena("uncertainty").zeros(q.shape(), DType::f32);
    parallel_chunks(q.numel(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) mean.data<float>()[i] += q.data<float>()[i] / float(options_.dropout_passes);
    });
  }
  return mean;
}

Var UaMt::consistency(Step& step, const Var& logits, const Tensor& target) {
  const double threshold = (0.75 + 0.25 * ramp(step.s)) * std::log(2.);  // EQ: 4.4 UA-MT threshold
  const Tensor weight = certainty_weight(mean_prediction(step), threshold);
  return mean_squared_error(softmax(logits), step.tape.constant(target, "target"), upload(step.tape, weight, step.dtype(), "certain pixels"));
}

}  // namespace patchcl
