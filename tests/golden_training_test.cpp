// One training step of each loss against PyTorch: activations, loss terms and all parameter gradients
// (tests/golden/training.safetensors, written by tests/golden/make_training.py in f64).
#include "autograd/ops/pointwise.h"
#include "autograd/ops/arith.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "train/methods/patch_entropy.h"
#include "layers/projection_head.h"
#include "layers/unet.h"
#include "losses/consistency.h"
#include "losses/cross_entropy.h"
#include "losses/dice.h"
#include "losses/guided_contrastive.h"
#include "losses/info_nce.h"
#include "tensor/device.h"
#include "tests/golden.h"

using namespace patchcl;

namespace {

constexpr int64_t kSeed = 7;
constexpr int kDimension = 6;

class GoldenStep : public testing::TestWithParam<golden::Setting> {
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

  Arena arena_{"test"};
  TensorFile golden_ = load_tensors("tests/golden/training.safetensors", arena_);
};

// UNet and projection head of make_training.py.
struct Net {
  Net(const std::vector<int>& widths, bool fused)
      : unet(layout, {.classes = 4, .widths = widths, .fused = fused}),
        head(layout, widths.back(), widths.back(), kDimension) {}
  Var embed(Pass& pass, const Var& patches) const { return head.forward(pass, unet.encode(pass, patches)); }
  ParamLayout layout;
  UNet unet;
  ProjectionHead head;
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
    close("full.grad." + name, golden::summary(arena_, name, g));
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

INSTANTIATE_TEST_SUITE_P(PyTorch, GoldenStep, golden::settings(), golden::setting_name);

}  // namespace
