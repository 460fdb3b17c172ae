#include "train/methods/ad_mt.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arith.h"
#include "autograd/ops/mean.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "losses/dice.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

AddMethod ad_mt{
    {36, "ad-mt", "two alternating teachers that weigh each other (Zhao et al. 2024)", make<AdMt>}};

constexpr int64_t kLongestTurn = 50, kCopies = 50;
const Names<bool> kSecondTeachers{{"student", false}, {"random", true}};

double entropy(const float* p, int64_t K) {
  double h = 0;
  for (int64_t k = 0; k < K; ++k)
    if (p[k] > 0) h -= double(p[k]) * std::log2(double(p[k]));
  return h;
}

int64_t most_likely(const float* p, int64_t K) { return std::max_element(p, p + K) - p; }

}  // namespace

bool first_teacher_is_active(uint64_t seed, int64_t iteration) {
  Rng rng(seed, 0, site::turns);
  bool first = true;
  for (int64_t end = 1 + rng.below(kLongestTurn); end <= iteration; end += 1 + rng.below(kLongestTurn))
    first = !first;
  return first;
}

double alternating_alpha(int64_t t, double ema) {
  const int64_t s = t / 2;
  return s < kCopies ? 0
                     : std::min(1 - 1 / double(s - kCopies + 1), ema);  // EQ: 7.4 alpha of the active teacher
}

void decide_ensemble(const Tensor& p1, const Tensor& p2, const Tensor& labels, const Tensor& confidence,
    const Tensor& disputed) {
  const int64_t K = p1.shape()[3];
  require(K <= 256, "ad-mt", "labels are u8, there are ", K, " classes");
  parallel_chunks(labels.numel(), [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      const float *a = p1.data<float>() + m * K, *b = p2.data<float>() + m * K;
      const double e1 = std::exp(-entropy(a, K)), e2 = std::exp(-entropy(b, K)), w = e1 / (e1 + e2);
      float p[256];
      for (int64_t k = 0; k < K; ++k)
        p[k] = float(w * double(a[k]) + (1 - w) * double(b[k]));  // EQ: 7.4 ensemble
      const int64_t y = most_likely(p, K);
      labels.data<uint8_t>()[m] = uint8_t(y);
      confidence.data<float>()[m] = p[y];
      disputed.data<uint8_t>()[m] = most_likely(a, K) != most_likely(b, K);
    }
  });
}

AdMt::AdMt() {
  warm_up_ = 0;
  ramp_up_ = 0.25;
  consistency_weight_ = 2;
  consistency_ = Consistency::dice;
  confidence_ = 0.95;
  read_schedule();
  AveragedTeacher::read_teacher();
  options().add("cutmix", cut_mix_,
      "The second teacher's turns show boxes of other images; false: other colours, as the first's do");
  options().add("cut-decisions", cut_decisions_,
      "CutMix cuts the student's own decisions too; false: cut labels are compared with uncut ones, as "
      "released");
  options().choose("second-teacher", random_second_, kSecondTeachers,
      "What the second teacher is until its first turn: a copy of the student, or random as released");
  read_confidence(confidence_);
}

void AdMt::resolve(const RunShape& run) {
  if (!cut_mix_) options().forbid({"cut-decisions"}, "without --cutmix");
  SemiSupervised::resolve(run);
}

std::vector<ViewKind> AdMt::views() const { return {{}, kBlurredView}; }

void AdMt::start(const TrainState& s) {
  SemiSupervised::start(s);
  const Arena memory("second teacher", s.student->values().device());
  second_ =
      std::make_unique<ParamStore>(s.student->layout(), memory, s.student->dtype(), /*with_grad=*/false);
  if (random_second_) second_->init(s.seed + 1);
  else second_->copy_from(*s.student);
}

const ParamStore& AdMt::averaged(const TrainState& s) const {
  return first_teacher_is_active(s.seed, s.iteration) ? *s.teacher : *second_;
}

double AdMt::decay(const TrainState& s) const { return alternating_alpha(s.iteration, ema_); }

void AdMt::save(TensorFile& file) const {
  const Arena host("checkpoint");
  for (const auto& [name, t] : {std::pair{"second_teacher.values", &second_->values()},
           {"second_teacher.buffers", &second_->buffers()}}) {
    const Tensor h = host.empty(t->shape(), t->dtype());
    copy(*t, h);
    file.tensors[name] = h;
  }
}

// Also into f64, for an audit of an f32 run.
void AdMt::load(const TensorFile& file) {
  for (const auto& [name, t] : {std::pair{"second_teacher.values", &second_->values()},
           {"second_teacher.buffers", &second_->buffers()}}) {
    const auto at = file.tensors.find(name);
    if (at == file.tensors.end() || at->second.shape() != t->shape())
      fail(ExitCode::checkpoint, "ad-mt", "the checkpoint has no ", name, " of this network");
    if (at->second.dtype() == t->dtype()) copy(at->second, *t);
    else convert(at->second, *t);
  }
}

Var AdMt::loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) {
  Step step{tape, s, b, log};
  Passes none;
  if (warming_up(s)) return labeled_loss(step, none);
  const int64_t n = b.labeled, m = b.unlabeled();
  const Shape shape = b.images().shape();
  const bool first = first_teacher_is_active(s.seed, s.iteration);
  Ensemble y = ask_teachers(step, first);
  Rng rng = step.host_rng(site::paste);
  const CutMix cut(m, shape[1], shape[2], rng);
  Tensor seen = labeled_images(m, shape[1], shape[2], shape[3]).images;
  step.work([&] {
    const Batch& host = b.on_host();
    const Tensor shown = on_host(host.views[cuts(first) ? 0 : 1].images.rows(n, m));
    seen = cuts(first) ? cut(shown) : shown;
    if (cuts(first)) y = {cut(y.labels), cut(y.confidence), cut(y.disputed)};
  });
  const Var plain = step.unlabeled(b.images(), "unlabelled images");
  const Var logits = step.student(
      concat({step.labeled(b.images(), "labelled images"), plain, step.upload(seen, "perturbed images")}, 0));
  const Tensor own = softmax(slice(logits, 0, n, m)).value();
  step.work([&] { settle(on_host(own), cuts(first) && cut_decisions_ ? &cut : nullptr, y); });
  const Var supervised = step.supervised_loss(slice(logits, 0, 0, n), step.labeled(b.labels(), "labels"));
  const Var sure = step.upload(y.confidence, "confident pixels");
  const Var agreed =
      dice_loss(softmax(slice(logits, 0, n + m, m)), step.upload(y.labels, "pseudo-labels"), sure);
  log.readings.push_back({reading::pseudo_coverage, mean(sure)});
  return add(supervised, weighted(step, agreed));
}

AdMt::Ensemble AdMt::ask_teachers(Step& step, bool first) const {
  const Var images = step.unlabeled(step.b.images(), "unlabelled images");
  const PredictMode one = teacher_mode(first ? kTraining : kEvaluation),
                    two = teacher_mode(first ? kEvaluation : kTraining);
  const Tensor p1 = step.predict(*step.s.teacher, images, one, site::teacher).probabilities,
               p2 = step.predict(*second_, images, two, site::second_teacher).probabilities;
  const Place host = step.place(/*host_only=*/true);
  const Shape s{p1.shape()[0], p1.shape()[1], p1.shape()[2]};
  const Ensemble y{
      host.memory.empty(s, DType::u8), host.memory.empty(s, DType::f32), host.memory.empty(s, DType::u8)};
  step.work([&] { decide_ensemble(host.here(p1), host.here(p2), y.labels, y.confidence, y.disputed); });
  return y;
}

void AdMt::settle(const Tensor& student, const CutMix* cut, Ensemble& y) const {
  const Tensor p = cut ? (*cut)(student) : student;
  const int64_t K = p.shape()[3];
  uint8_t *label = y.labels.data<uint8_t>(), *disputed = y.disputed.data<uint8_t>();
  float* c = y.confidence.data<float>();
  parallel_chunks(y.labels.numel(), [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      const float* own = p.data<float>() + m * K;
      const int64_t k = most_likely(own, K);
      const bool surer = disputed[m] && k != label[m] && own[k] > c[m];
      if (surer) label[m] = uint8_t(k);
      const float sure = surer ? own[k] : c[m];
      c[m] = sure >= float(confidence_) ? 1 : 0;
    }
  });
}

}  // namespace patchcl
