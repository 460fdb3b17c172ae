// The semi-supervised methods on a tiny network: what they read, what they leave alone, what a resume
// restores.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "train/methods/copy_paste.h"
#include "train/methods/factory.h"
#include "train/methods/patchcl.h"
#include "train/methods/ua_mt.h"

using namespace patchcl;

namespace {

constexpr int64_t kSide = 16, kLabeled = 2, kImages = 4, kClasses = 3;

std::vector<float> bytes_of(const Tensor& t) { return {t.data<float>(), t.data<float>() + t.numel()}; }

// A trial of a few steps: network, stores, plain gradient descent, batches of squares on noise.
class Trial {
 public:
  Trial(const std::string& method, MethodOptions options) : memory_("test") {
    options.queue_ready = 8;
    method_ = make_method(method, options);
    UNetConfig config{.classes = int(kClasses), .widths = {4, 8}, .dropout = {0.1, 0.2}};
    unet_ = std::make_unique<UNet>(layout_, config);
    method_->declare(layout_, config);
    student_ = std::make_unique<ParamStore>(layout_, memory_, DType::f32, true);
    teacher_ = std::make_unique<ParamStore>(
        layout_, memory_, DType::f32, true);  // with gradients, to see that none arrive
    student_->init(3);
    teacher_->copy_from(*student_);
    teacher_->zero_grad();
    state_ = {
        unet_.get(), student_.get(), teacher_.get(), &memory_, memory_.zeros({2}, DType::i64), 7, 0, 12};
    state_.rng.data<int64_t>()[0] = 7;
    method_->start(state_);
  }

  // Images, labels and a strong view as a function of the iteration; unlabelled rows hold `poison`.
  Batch batch(int poison = 255) const {
    Batch b;
    b.images = memory_.empty({kImages, kSide, kSide, 1}, DType::f32);
    b.strong = memory_.empty({kImages, kSide, kSide, 1}, DType::f32);
    b.labels = memory_.empty({kImages, kSide, kSide}, DType::u8);
    b.labeled = kLabeled;
    Rng rng(1, uint64_t(state_.iteration)), poison_rng(2, uint64_t(state_.iteration));
    for (int64_t n = 0; n < kImages; ++n) {
      const int64_t top = rng.below(8), left = rng.below(8);
      for (int64_t i = 0; i < kSide * kSide; ++i) {
        const int64_t r = i / kSide - top, c = i % kSide - left, at = n * kSide * kSide + i;
        const int foreground = r < 4 ? 1 : 2;
        const int k = r < 0 || c < 0 || r >= 8 || c >= 8 ? 0 : foreground;
        b.images.data<float>()[at] = float(0.2 + 0.3 * k + 0.1 * rng.uniform());
        b.strong.data<float>()[at] = b.images.data<float>()[at] * 0.8f;
        uint8_t& label = b.labels.data<uint8_t>()[at];
        if (n < kLabeled) label = uint8_t(only_class >= 0 ? only_class : k);
        else label = uint8_t(poison == 255 ? 255 : poison_rng.below(kClasses));
      }
    }
    return b;
  }

  // `see` looks at the tape after backward, with every gradient kept.
  double step(int poison = 255, const std::function<void(const Tape&)>& see = {}) {
    state_.rng.data<int64_t>()[1] = state_.iteration;
    student_->zero_grad();
    double value;
    {
      Tape tape(memory_, {.keep = bool(see), .check_finite = true});
      LossTerms terms;
      method_->prepare(state_);
      const Var total = method_->loss(tape, state_, batch(poison), terms);
      value = total.value().item();
      tape.backward(total);
      if (see) see(tape);
      log = terms.values;
      for (const auto& [name, v] : terms.readings) log.push_back({name, v.value().item()});
    }
    for (int64_t i = 0; i < student_->values().numel(); ++i)
      student_->values().data<float>()[i] -= 0.05f * student_->grads().data<float>()[i];
    method_->after_step(state_);
    ++state_.iteration;
    return value;
  }

  size_t planned() const {
    const Arena plan = Arena::plan("plan");
    Batch b = batch();
    Tape tape(plan);
    LossTerms log;
    tape.backward(method_->loss(tape, state_, b, log));
    return plan.stats().peak;
  }

  // A second run that goes on from here.
  void resume(const Trial& from) {
    TensorFile file;
    from.method_->save(file);
    method_->load(file);
    student_->copy_from(*from.student_);
    teacher_->copy_from(*from.teacher_);
    state_.iteration = from.state_.iteration;
    method_->start(state_);
  }

  std::vector<float> student() const { return bytes_of(student_->values()); }
  std::vector<float> teacher() const { return bytes_of(teacher_->values()); }
  std::vector<float> student_gradient() const { return bytes_of(student_->grads()); }
  std::vector<float> teacher_gradient() const { return bytes_of(teacher_->grads()); }
  std::vector<float> student_buffers() const { return bytes_of(student_->buffers()); }
  std::vector<float> teacher_buffers() const { return bytes_of(teacher_->buffers()); }
  const TrainState& state() const { return state_; }
  const Method& method() const { return *method_; }

  std::vector<std::pair<std::string, double>> log;
  int only_class = -1;

 private:
  Arena memory_;
  ParamLayout layout_;
  std::unique_ptr<Method> method_;
  std::unique_ptr<UNet> unet_;
  std::unique_ptr<ParamStore> student_, teacher_;
  TrainState state_;
};

struct Variant {
  std::string name, method;
  MethodOptions options;
};

void PrintTo(const Variant& v, std::ostream* s) { *s << v.name; }

std::vector<Variant> variants() {
  std::vector<Variant> all;
  const auto add = [&](const std::string& name, const std::string& method, auto change) {
    MethodOptions o;
    change(o);
    all.push_back({name, method, o});
  };
  add("mean_teacher", "mean-teacher", [](MethodOptions&) {});
  add("mean_teacher_copy_paste", "mean-teacher", [](MethodOptions& o) { o.copy_paste = true; });
  add("ua_mt", "ua-mt", [](MethodOptions& o) { o.dropout_passes = 2; });
  add("fixmatch", "fixmatch", [](MethodOptions& o) { o.confidence = 0.3; });
  add("patchcl", "patchcl", [](MethodOptions&) {});
  add("patchcl_copy_paste", "patchcl", [](MethodOptions& o) { o.copy_paste = o.largest_component = true; });
  add("patchcl_info_nce", "patchcl", [](MethodOptions& o) { o.contrast = Contrast::info_nce; });
  add("patchcl_released", "patchcl", [](MethodOptions& o) {
    o.hard_negatives.scheme = HardNegatives::released;
    o.hard_negatives.blocks = 2;
    o.area_filter = AreaFilterMode::released;
    o.patches.sampling = Sampling::boxes;
    o.consistency = Consistency::cross_entropy;
  });
  return all;
}

class Methods : public testing::TestWithParam<Variant> {
 protected:
  Trial trial() const { return Trial(GetParam().method, GetParam().options); }
};

INSTANTIATE_TEST_SUITE_P(
    All, Methods, testing::ValuesIn(variants()), [](const auto& info) { return info.param.name; });

constexpr int kSteps = 8;  // of 12: warm-up and semi-supervised stage for every method

}  // namespace

TEST_P(Methods, NeverReadLabelsOfUnlabeledImages) {
  Trial clean = trial(), poisoned = trial();
  for (int i = 0; i < kSteps; ++i) EXPECT_EQ(clean.step(255), poisoned.step(1)) << "step " << i;
  EXPECT_EQ(clean.student(), poisoned.student());
  EXPECT_EQ(clean.teacher(), poisoned.teacher());
}

TEST_P(Methods, LeaveTheTeacherWithoutAnyGradient) {
  Trial r = trial();
  for (int i = 0; i < kSteps; ++i) {
    r.step();
    EXPECT_EQ(r.teacher_gradient(), std::vector<float>(r.teacher_gradient().size(), 0.f));
  }
}

TEST_P(Methods, StopGradientsAtEverythingButTheStudent) {
  Trial t = trial();
  for (int i = 0; i < kSteps; ++i)
    t.step(255, [](const Tape& tape) {
      for (const Tape::Node& n : tape.nodes()) {
        if (n.op || n.is_parameter)
          continue;  // leaves: images, labels, targets, pseudo-labels, queue statistics
        EXPECT_FALSE(n.requires_grad) << n.label;
        EXPECT_FALSE(bool(n.grad)) << n.label;
      }
    });
}

TEST_P(Methods, TeachWithTheAverageOfWeightsAndBuffers) {
  Trial r = trial();
  const std::vector<float> weights = r.teacher(), buffers = r.teacher_buffers();
  r.step();
  r.step();
  EXPECT_EQ(weights != r.teacher(), r.method().has_teacher());
  EXPECT_EQ(buffers != r.teacher_buffers(), r.method().has_teacher());
}

TEST_P(Methods, ResumeBitForBit) {
  Trial straight = trial(), first = trial(), second = trial();
  for (int i = 0; i < 6; ++i) EXPECT_EQ(straight.step(), first.step());
  second.resume(first);
  for (int i = 6; i < kSteps; ++i) EXPECT_EQ(straight.step(), second.step()) << "step " << i;
  EXPECT_EQ(straight.student(), second.student());
  EXPECT_EQ(straight.teacher(), second.teacher());
}

TEST_P(Methods, PlanAtLeastTheMemoryTheyUse) {
  Trial r = trial();
  EXPECT_GT(r.planned(), 0u);
  for (int i = 0; i < kSteps; ++i) r.step();
}

TEST_P(Methods, LearnFromImagesThatShowOneClassOnly) {
  Trial r = trial();
  for (int only : {0, 1})
    for (int i = 0; i < 4; ++i) {
      r.only_class = only;
      EXPECT_TRUE(std::isfinite(r.step()));
    }
}

namespace {
bool has_term(const std::vector<std::pair<std::string, double>>& log, const std::string& name) {
  for (const auto& [n, v] : log)
    if (n == name) return true;
  return false;
}
double value_of(const std::vector<std::pair<std::string, double>>& log, const std::string& name) {
  for (const auto& [n, v] : log)
    if (n == name) return v;
  return -1;
}
}  // namespace

TEST(PatchCl, ContrastWaitsForTwoClassesWithFullEnoughQueues) {
  MethodOptions with, without;
  without.contrast = Contrast::off;
  Trial a("patchcl", with), b("patchcl", without);
  a.only_class = b.only_class = 0;
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(a.step(), b.step()) << "one class: the loss is that without contrast, exactly";
  EXPECT_EQ(value_of(a.log, "ready_classes"), 1);
  EXPECT_EQ(a.student(), b.student());
  EXPECT_FALSE(has_term(b.log, "ready_classes"));
}

TEST(PatchCl, ContrastTrainsTheStudent) {
  MethodOptions with, without;
  without.contrast = Contrast::off;
  Trial a("patchcl", with), b("patchcl", without);
  a.step();
  b.step();
  EXPECT_NE(a.student(), b.student());
}

TEST(PatchCl, PatchesLeaveRunningStatisticsAlone) {
  MethodOptions with, without;
  without.contrast = Contrast::off;
  Trial a("patchcl", with), b("patchcl", without);
  a.step();
  b.step();
  EXPECT_EQ(a.student_buffers(), b.student_buffers());
}

TEST(PatchCl, PatchThatDoesNotFitIsAnErrorThatSaysWhatToDo) {
  MethodOptions o;
  o.patches.side = 32;
  Trial r("patchcl", o);
  try {
    r.step();
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::usage);
    EXPECT_NE(std::string(e.what()).find("does not fit into images of 16x16"), std::string::npos) << e.what();
  }
  o.patches.side = 7;
  Trial odd("patchcl", o);
  EXPECT_THROW(odd.step(), Error);
}

TEST(UaMt, WeightMasksByEntropyAndNormalisesAsPublished) {
  const Arena arena("test");
  const Tensor q = arena.empty({1, 1, 3, 2}, DType::f32);
  const float p[] = {1, 0, 0.5f, 0.5f, 0.9f, 0.1f};
  std::copy(p, p + 6, q.data<float>());
  const Tensor w = arena.empty({1, 1, 3}, DType::f32), threshold = arena.empty({1}, DType::f64);
  fill(threshold, 0.75 * std::log(2.));
  find_certain_pixels(q, threshold, w, arena);
  EXPECT_FLOAT_EQ(w.data<float>()[0], 6. / 4);
  EXPECT_FLOAT_EQ(w.data<float>()[1], 0);
  EXPECT_FLOAT_EQ(w.data<float>()[2], 6. / 4);
  fill(q, 0.5);
  fill(threshold, 0.1);
  find_certain_pixels(q, threshold, w, arena);
  EXPECT_EQ(w.data<float>()[0], 0) << "no certain pixel: no loss, no NaN";
}

TEST(Terms, PseudoLabelsTakeTheFirstOfEqualsAndMaskByConfidence) {
  const Arena arena("test");
  const Tensor p = arena.empty({1, 1, 3, 2}, DType::f32);
  const float v[] = {0.5f, 0.5f, 0.2f, 0.8f, 0.74f, 0.26f};
  std::copy(v, v + 6, p.data<float>());
  const PseudoLabels y{arena.empty({1, 1, 3}, DType::u8), arena.empty({1, 1, 3}, DType::f32)};
  find_pseudo_labels(p, 0.75, false, y);
  EXPECT_EQ(y.labels.data<uint8_t>()[0], 0);
  EXPECT_EQ(y.labels.data<uint8_t>()[1], 1);
  EXPECT_EQ(y.weight.data<float>()[0], 0);
  EXPECT_EQ(y.weight.data<float>()[1], 1);
  EXPECT_EQ(y.weight.data<float>()[2], 0);
}

TEST(CopyPaste, MovesImageLabelAndWeightTogether) {
  const Arena arena("test");
  const auto make = [&](float x, double y, float w) {
    Labeled l{arena.empty({1, 6, 6, 2}, DType::f32), arena.empty({1, 6, 6}, DType::u8),
        arena.empty({1, 6, 6}, DType::f32)};
    fill(l.images, x);
    fill(l.labels, y);
    fill(l.weight, w);
    return l;
  };
  const Box box{1, 2, 4, 3};
  const Labeled m = paste(make(0, 0, 1), make(9, 3, 0.5f), box);
  for (int64_t r = 0; r < 6; ++r)
    for (int64_t c = 0; c < 6; ++c) {
      const bool inside = r >= 1 && r < 5 && c >= 2 && c < 5;
      EXPECT_EQ(m.images.data<float>()[(r * 6 + c) * 2 + 1], inside ? 9 : 0);
      EXPECT_EQ(m.labels.data<uint8_t>()[r * 6 + c], inside ? 3 : 0);
      EXPECT_EQ(m.weight.data<float>()[r * 6 + c], inside ? 0.5f : 1);
    }
  Rng rng(1);
  for (int i = 0; i < 50; ++i) {
    const Box b = random_box(7, 9, rng);
    EXPECT_TRUE(
        b.height == 4 && b.width == 6 && b.top >= 0 && b.left >= 0 && b.top + 4 <= 7 && b.left + 6 <= 9);
  }
}
