// One training step of each loss against PyTorch: activations, loss terms and all parameter gradients
// (tests/golden/training.safetensors, written by tests/golden/make_training.py in f64).
#include "autograd/ops/conv2d.h"
#include "autograd/ops/gather.h"
#include "autograd/ops/global_avg_pool.h"
#include "autograd/ops/l2_normalize.h"
#include "autograd/ops/linear.h"
#include "autograd/ops/norm_act.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/arith.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "train/methods/patch_entropy.h"
#include "layers/unet.h"
#include "losses/consistency.h"
#include "losses/cross_entropy.h"
#include "losses/dice.h"
#include "losses/guided_contrastive.h"
#include "losses/info_nce.h"
#include "tensor/device.h"
#include "tests/golden.h"
#include "train/optim/optimizer.h"
#include "train/optim/schedule.h"

using namespace patchcl;

namespace {

constexpr int64_t kSeed = 7;
constexpr int kDimension = 6;

// Which code computes: precision, kernels, fused or separate batch norm, activation and dropout.
struct Setting {
  DType dtype;
  Kernels kernels;
  bool fused;
  // Relative to the norm of each tensor; in f32 a gradient below 1/100 of the whole counts as that large,
  // since it is what is left of larger ones.
  double tolerance() const { return dtype == DType::f64 ? 1e-9 : 1e-4; }
  double floor() const { return dtype == DType::f64 ? 0 : 1e-2; }
};

class GoldenStep : public testing::TestWithParam<Setting> {
 protected:
  void SetUp() override { set_kernels(GetParam().kernels); }
  void TearDown() override { set_kernels(Kernels::fast); }

  DType dtype() const { return GetParam().dtype; }
  Tensor want(const std::string& name) const {
    const auto it = golden_.tensors.find(name);
    require(it != golden_.tensors.end(), "golden", "no tensor ", name);
    return it->second;
  }
  // Which images the script chose: those whose activations keep away from kinks.
  std::string attempt(const std::string& part) const {
    return std::to_string(int(want(part + ".attempt").item()));
  }
  // A golden tensor in the precision under test.
  Var constant(Tape& tape, const std::string& name) const {
    const Tensor from = want(name);
    if (from.dtype() != DType::f64) return tape.constant(from);
    const Tensor to = arena_.empty(from.shape(), dtype());
    dispatch(dtype(), [&](auto zero) {
      for (int64_t i = 0; i < from.numel(); ++i) to.data<decltype(zero)>()[i] = decltype(zero)(from.item(i));
    });
    return tape.constant(to);
  }
  Tensor rng(int64_t step) const {
    const Tensor t = arena_.empty({2}, DType::i64);
    t.data<int64_t>()[0] = kSeed;
    t.data<int64_t>()[1] = step;
    return t;
  }
  void close(const std::string& name, const Tensor& got, double floor = 0) const {
    golden::expect_close(name, got, want(name), GetParam().tolerance(), floor);
  }

  // A tensor's norm and its products with four random directions.
  Tensor summary(const std::string& name, const Tensor& t) const {
    const std::vector<double> v = golden::values(t);
    const Tensor out = arena_.zeros({5}, DType::f64);
    double* s = out.data<double>();
    s[0] = golden::norm(v);
    for (int i = 0; i < 4; ++i) {
      const std::vector<double> u = golden::unit(name + ".direction" + std::to_string(i), int64_t(v.size()));
      for (size_t k = 0; k < v.size(); ++k) s[i + 1] += v[k] * (u[k] - 0.5);
    }
    return out;
  }

  Arena arena_{"test"};
  TensorFile golden_ = load_tensors("tests/golden/training.safetensors", arena_);
};

// UNet and projection head of make_training.py.
struct Net {
  Net(const std::vector<int>& widths, bool fused)
      : unet(layout, {.classes = 4, .widths = widths, .fused = fused}) {
    const int64_t d = widths.back();
    const auto vector = [&](const std::string& name, int64_t n) {
      return layout.add_parameter({.name = "projection." + name, .shape = {n}});
    };
    const auto matrix = [&](const std::string& name, int64_t in, int64_t out) {
      return layout.add_parameter(
          {.name = "projection." + name, .shape = {in, out}, .kind = ParamKind::linear_weight});
    };
    w0 = matrix("0.weight", d, d), b0 = vector("0.bias", d);
    gamma = vector("1.weight", d), beta = vector("1.bias", d);
    w3 = matrix("3.weight", d, kDimension), b3 = vector("3.bias", kDimension);
    mean = layout.add_buffer({.name = "projection.1.running_mean", .shape = {d}});
    var = layout.add_buffer({.name = "projection.1.running_var", .shape = {d}});
  }
  Var embed(Pass& pass, const Var& patches) const {
    const Var pooled = global_avg_pool(unet.encode(pass, patches));
    const BatchNormOptions norm{.training = pass.training(),
        .running_mean = pass.store().buffer(mean),
        .running_var = pass.store().buffer(var)};
    const Var hidden = relu(batch_norm(
        linear(pooled, pass.param(w0), pass.param(b0)), pass.param(gamma), pass.param(beta), norm));
    return l2_normalize(linear(hidden, pass.param(w3), pass.param(b3)));
  }
  ParamLayout layout;
  UNet unet;
  int w0, b0, gamma, beta, w3, b3, mean, var;
};

// Everything that make_training.py's small() computes, on one tape.
struct Step {
  UNet::Output student;
  Var target, embeddings, keys;
  std::vector<std::pair<std::string, Var>> terms;
};

TEST_P(GoldenStep, ActivationsTermsAndGradientsAreThoseOfPyTorch) {
  const Net net({2, 4, 4, 8, 8}, GetParam().fused);
  ParamStore student(net.layout, arena_, dtype(), true), teacher(net.layout, arena_, dtype(), false);

  const auto record = [&](Tape& tape) {
    golden::fill(student, arena_);  // again each time: a pass in training mode moves the running statistics
    golden::fill(teacher, arena_, "teacher.");
    Step s;
    const Var x = tape.constant(golden::images(arena_, {4, 32, 32, 1}, dtype(), "images" + attempt("small")));
    const Var y = tape.constant(golden::labels(arena_, {2, 32, 32}, 4, "labels"));
    Pass pass(tape, student, /*training=*/true, rng(0)), eval(tape, teacher, /*training=*/false);
    s.student = net.unet.forward(pass, x);
    s.target = softmax(slice(net.unet.forward(eval, x).logits, 0, 2, 2));
    const Var labeled = slice(s.student.logits, 0, 0, 2), unlabeled = slice(s.student.logits, 0, 2, 2);
    const Var patches = constant(tape, "small.patches"), classes = constant(tape, "small.classes");
    s.embeddings = net.embed(pass, patches);
    s.keys = detach(net.embed(eval, patches));
    const Var mean = constant(tape, "small.mean"), covariance = constant(tape, "small.covariance");
    const Tensor ready = arena_.empty({4}, DType::u8);
    fill(ready, 1);
    const ClassStatistics statistics{mean, covariance, reshape(mean, {1, 4, kDimension}),
        reshape(covariance, {1, 4, kDimension, kDimension}), tape.constant(ready)};
    s.terms = {{"ce", cross_entropy(labeled, y)}, {"dice", dice_loss(softmax(labeled), y)},
        {"consistency", mean_squared_error(softmax(unlabeled), detach(s.target))},
        {"info_nce", info_nce(s.embeddings, s.keys, s.keys, classes, classes, 0.5)},
        {"guided",
            guided_contrastive(s.embeddings, classes, statistics, {.tau = 0.5, .lambda = 4, .psi = 16})}};
    return s;
  };

  for (size_t term = 0; term < 5; ++term) {
    Tape tape(arena_, {.keep = true});
    student.zero_grad();
    const Step s = record(tape);
    const auto& [name, loss] = s.terms[term];
    if (term == 0) {
      const char* const levels[] = {"in_conv", "down1", "down2", "down3", "down4"};
      for (size_t i = 0; i < 5; ++i)
        close("small.activation.encoder." + std::string(levels[i]), s.student.encoder[i].value());
      close("small.activation.decoder.up4", s.student.decoder.back().value());
      close("small.activation.logits", s.student.logits.value());
      close("small.teacher.probabilities", s.target.value());
      close("small.embeddings", s.embeddings.value());
      close("small.keys", s.keys.value());
    }
    close("small.loss." + name, loss.value());
    tape.backward(loss);
    const auto gradients = golden::torch_gradients(student, arena_);
    double total = 0;
    for (const auto& [parameter, g] : gradients) total = std::hypot(total, golden::norm(golden::values(g)));
    ASSERT_GT(total, 0);
    for (const auto& [parameter, g] : gradients) {
      const std::string key = "small.grad." + name + "." + parameter;
      if (golden_.tensors.contains(key)) close(key, g, GetParam().floor() * total);
      else
        EXPECT_LE(golden::norm(golden::values(g)), GetParam().tolerance() * total)
            << key << " has no gradient in PyTorch";
    }
  }
}

TEST_P(GoldenStep, FullWidthGradientsAreThoseOfPyTorch) {
  if (GetParam().kernels == Kernels::naive && !GetParam().fused)
    GTEST_SKIP() << "the plain loops are slow at this width";
  ParamLayout layout;
  const UNet unet(layout, {.fused = GetParam().fused});
  ParamStore store(layout, arena_, dtype(), true);
  golden::fill(store, arena_);
  Tape tape(arena_);
  Pass pass(tape, store, /*training=*/true, rng(3));
  const Var logits =
      unet.forward(pass,
              tape.constant(golden::images(arena_, {2, 48, 32, 1}, dtype(), "full.images" + attempt("full"))))
          .logits;
  const Var y = tape.constant(golden::labels(arena_, {2, 48, 32}, 4, "full.labels"));
  const Var loss = affine(add(cross_entropy(logits, y), dice_loss(softmax(logits), y)), 0.5);
  close("full.loss", loss.value());
  tape.backward(loss);
  for (const auto& [name, g] : golden::torch_gradients(store, arena_)) {
    if (!golden_.tensors.contains("full.grad." + name)) continue;
    close("full.grad." + name, summary(name, g));
  }
}

// `count` windows whose place and class a formula gives: cut_patches() of make_training.py without
// confidence.
struct Windows {
  Tensor patches, classes;
  Windows(const Arena& arena, const Tensor& x, int64_t side, int64_t count) {
    const Shape& s = x.shape();
    const std::vector<double> u = golden::unit("windows", 4 * count);
    std::vector<double> cut;
    classes = arena.empty({count}, DType::i32);
    for (int64_t p = 0; p < count; ++p) {
      const double* at = &u[size_t(4 * p)];
      const int64_t n = int64_t(double(s[0]) * at[0]), top = int64_t(double(s[1] - side + 1) * at[1]),
                    left = int64_t(double(s[2] - side + 1) * at[2]);
      classes.data<int32_t>()[p] = int32_t(4 * at[3]);
      for (int64_t r = top; r < top + side; ++r)
        for (int64_t c = left; c < left + side; ++c) cut.push_back(x.item((n * s[1] + r) * s[2] + c));
    }
    patches = golden::tensor(arena, {count, side, side, 1}, x.dtype(), cut);
  }
};

TEST_P(GoldenStep, TenOptimiserStepsAreThoseOfPyTorch) {
  for (const std::string method : {"supervised", "mean_teacher", "patchcl"}) {
    const Net net({2, 4, 4, 8, 8}, GetParam().fused);
    ParamStore student(net.layout, arena_, dtype(), true), teacher(net.layout, arena_, dtype(), false);
    golden::fill(student, arena_);
    golden::fill(teacher, arena_);
    Sgd sgd({.momentum = 0.9, .weight_decay = 1e-4}, net.layout.flat_size(), dtype(), arena_);
    Ema ema(arena_);
    const Tensor losses = arena_.empty({10}, DType::f64);
    for (int64_t t = 0; t < 10; ++t) {
      student.zero_grad();
      Tape tape(arena_);
      const std::string step = std::to_string(t);
      const Var x = tape.constant(golden::images(arena_, {4, 32, 32, 1}, dtype(), "steps.images" + step));
      const Var y = tape.constant(golden::labels(arena_, {2, 32, 32}, 4, "steps.labels" + step));
      Pass pass(tape, student, /*training=*/true, rng(t)), eval(tape, teacher, /*training=*/false);
      const bool semi = method != "supervised";
      const Var logits = net.unet.forward(pass, semi ? x : slice(x, 0, 0, 2)).logits,
                labeled = slice(logits, 0, 0, 2);
      Var loss = affine(add(cross_entropy(labeled, y), dice_loss(softmax(labeled), y)), 0.5);
      if (semi) {
        const Var target = detach(softmax(net.unet.forward(eval, slice(x, 0, 2, 2)).logits));
        loss = add(loss, affine(mean_squared_error(softmax(slice(logits, 0, 2, 2)), target),
                             4 * gaussian_ramp(double(t), 10)));
      }
      if (method == "patchcl") {
        const Windows w(arena_, x.value(), 16, 12);
        const Var mean = constant(tape, "small.mean"), covariance = constant(tape, "small.covariance");
        const Tensor ready = arena_.empty({4}, DType::u8);
        fill(ready, 1);
        const ClassStatistics statistics{mean, covariance, reshape(mean, {1, 4, kDimension}),
            reshape(covariance, {1, 4, kDimension, kDimension}), tape.constant(ready)};
        loss =
            add(loss, affine(guided_contrastive(net.embed(pass, tape.constant(w.patches)),
                                 tape.constant(w.classes), statistics, {.tau = 0.5, .lambda = 4, .psi = 16}),
                          0.5));
      }
      losses.data<double>()[t] = loss.value().item();
      tape.backward(loss);
      sgd.set(poly_lr(0.01, t, 10), t + 1);
      sgd.step(student.values(), student.grads());
      ema.set(ema_alpha(t, 0.99));
      ema.update(teacher.values(), student.values());
      ema.update(teacher.buffers(), student.buffers());
    }
    close("steps." + method + ".loss", losses);
    for (const auto& [who, store] : {std::pair{"student", &student}, std::pair{"teacher", &teacher}}) {
      TensorFile file;
      put_weights(file, *store, 0);
      for (const auto& [name, w] : file.tensors)
        if (const std::string key = "steps." + method + "." + who + "." + name; golden_.tensors.contains(key))
          close(key, summary(name, w));
    }
  }
}

TEST(GoldenEntropy, WindowsAreThoseOfPyTorch) {
  const Arena arena("test");
  const TensorFile file = load_tensors("tests/golden/training.safetensors", arena);
  const Tensor p = file.tensors.at("small.teacher.probabilities"), wanted = file.tensors.at("small.entropy");
  std::vector<float> confidence;
  for (double v : golden::values(p)) confidence.push_back(float(v));
  PatchImages batch;
  batch.n = 2, batch.height = batch.width = 32, batch.classes = 4, batch.confidence = confidence.data();
  const WindowGrid grid(32, 32, 16, 8);
  const Tensor got = arena.empty(wanted.shape(), DType::f64);
  double* out = got.data<double>();
  for (int64_t image = 0; image < 2; ++image)
    for (int64_t k = 0; k < 4; ++k)
      for (float v : window_means(entropy_map(batch, image, k, EntropyOf::confidence), grid)) *out++ = v;
  golden::expect_close("entropy", got, wanted, 1e-5);
}

std::string setting_name(const testing::TestParamInfo<Setting>& info) {
  const Setting& s = info.param;
  return std::string(dtype_name(s.dtype)) + "_" + kernel_names()[size_t(s.kernels)] +
         (s.fused ? "_fused" : "_separate");
}
INSTANTIATE_TEST_SUITE_P(PyTorch, GoldenStep,
    testing::Values(Setting{DType::f64, Kernels::fast, true}, Setting{DType::f64, Kernels::naive, false},
        Setting{DType::f32, Kernels::fast, true}, Setting{DType::f32, Kernels::direct, true},
        Setting{DType::f32, Kernels::naive, false}),
    setting_name);

}  // namespace
