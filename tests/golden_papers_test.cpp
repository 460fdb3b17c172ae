// One step of contrastive pre-training (METHODS 2), of methods with PDCR beside them (METHODS 3) and of both
// papers' networks (2.5 and 3.3) against PyTorch (tests/golden/papers.safetensors, written by
// tests/golden/make_papers.py in f64). The ops have
// golden numbers of their own; here it is what the methods make of a batch for them: views, pixels, labels,
// patches, confidence, heads. A wrong pixel has right gradients, so only values tell. Images are wider than
// high, so that rows and columns cannot stand in for each other, and options differ from their defaults.
#include <algorithm>
#include <sstream>

#include "tests/golden.h"
#include "train/setup/learner.h"

using namespace patchcl;

namespace {

constexpr int64_t kHeight = 32, kWidth = 48;
constexpr int kClasses = 4;
const std::vector<int> kWidths{2, 4, 4, 8, 8};

// A step of ten, on images of which the phase says how many have labels.
struct Case {
  std::string name, method;
  int64_t step, images, width;
  std::string options;  // "NAME VALUE NAME VALUE"
  UNetConfig network{.widths = kWidths};
};
void PrintTo(const Case& c, std::ostream* s) { *s << c.name; }

Case pre_training(const std::string& name, int64_t step, const std::string& options) {
  return {name, "local-contrast", step, 3, kWidth,
      "global-share 0.3 local-share 0.4 embedding 6 head-width 5 tau 0.5 " + options};
}
Case with_pdcr(const std::string& name, const std::string& method, int64_t step, const std::string& options) {
  const bool labeled = method == "supervised", mixed = method == "base";
  return {name, method, step, labeled ? 2 : 4, mixed ? kHeight : kWidth,
      (labeled ? "" : "labeled-batch 2 warm-up 0.2 ramp-up 0.5 consistency-weight 3 ") +
          ("pdcr-levels 0,1,2 pdcr-vectors 20 " + options)};
}
Case of_network(const std::string& name, const UNetConfig& network) {
  return {name, "supervised", 6, 2, kWidth, "", network};
}

const std::vector<int> kGated{4, 4, 8, 36, 36};  // a fourth of 36 is more than a gate's 8 hidden channels
const std::string kStride = "stride 8 denominator negatives pixels stride candidates ",
                  kBlock = "block 8 form paper pixels block candidates ",
                  kSure = " pdcr-unlabeled true pdcr-confidence 0.45";
const Case kCases[] = {
    pre_training("nt-xent", 1, "global-tau 0.4"),
    pre_training("byol", 1, "global-form byol"),
    pre_training("simsiam", 1, "global-form simsiam head-relu true"),
    pre_training("stride-batch", 4, kStride + "batch"),
    pre_training("stride-image", 4, kStride + "image"),
    pre_training("block-batch", 4, kBlock + "batch"),
    pre_training("block-image", 4, kBlock + "image"),
    pre_training("position-batch", 4, kStride + "batch pixel-labels position"),
    pre_training("position-image", 4, kBlock + "image pixel-labels position"),
    with_pdcr("pdcr-field", "mean-teacher", 6, "pdcr 0.7 pdcr-tau 0.4" + kSure),
    with_pdcr("pdcr-hierarchy", "supervised", 6,
        "pdcr 0.6 pdcr-decoder 0.5 pdcr-decoder-levels 0,1,2 pdcr-cross 0.4 pdcr-tau 0.4 pdcr-width 6 "
        "pdcr-patch hierarchy "
        "pdcr-sides 3,5 pdcr-position true"),
    with_pdcr("pdcr-mixed", "base", 6,
        "confidence 0.4 pdcr-decoder 0.5 pdcr-decoder-levels 0,1,2 pdcr-cross 0.4 pdcr-width 6 pdcr-form l2 "
        "pdcr-affinity variation "
        "pdcr-patch hierarchy pdcr-sides 3,7 pdcr-average ratio" +
            kSure),
    with_pdcr("pdcr-dice", "mean-teacher", 1, "pdcr 0.7 pdcr-tau 0.4 pdcr-affinity dice"),
    of_network("instance",
        {.widths = kWidths, .norm = NormKind::instance, .decoder_norm = false, .up = Upsampling::transposed}),
    of_network("instance-affine", {.widths = kWidths, .norm = NormKind::instance_affine}),
    of_network("uafs-all", {.widths = kGated, .gates = Gates::all, .gate_classes = 3, .gate_kernel = 5}),
    of_network("uafs-decoder", {.widths = kGated, .gates = Gates::decoder, .gate_classes = 1}),
};

OptionValues pairs(const std::string& text) {
  OptionValues all;
  std::istringstream in(text);
  for (std::string name, value; in >> name >> value;) all.push_back({name, value});
  return all;
}

LearnerOptions run_of(const Case& c) {
  LearnerOptions o;
  o.network = c.network;
  o.run = {.iterations = 10, .batch = c.images, .size = kHeight};
  o.seed = 7;
  o.dtype = DType::f64;
  return o;
}

// What the phase asks for; labels of unlabelled images are none.
Batch batch_of(const Case& c, const Phase& phase, const Arena& arena) {
  const int64_t n = phase.labeled + phase.unlabeled;
  const Shape s{n, kHeight, c.width};
  const Tensor labels = golden::labels(arena, s, kClasses, "papers.labels");
  fill(labels.rows(phase.labeled, phase.unlabeled), 255);
  Batch b;
  b.labeled = phase.labeled;
  b.ids.resize(size_t(n));
  for (const char* view : {"papers.images", "papers.strong", "papers.other"})
    if (b.views.size() < phase.views.size())
      b.views.push_back({golden::images(arena, {n, kHeight, c.width, 1}, DType::f64, view), labels});
  return b;
}

class GoldenPapers : public testing::TestWithParam<Case> {
 protected:
  void close(const std::string& name, const Tensor& got) const {
    const std::string key = GetParam().name + "." + name;
    ASSERT_TRUE(golden_.tensors.contains(key)) << key;
    golden::expect_close(key, got, golden_.tensors.at(key), 1e-9);
  }

  Arena arena_{"test"};
  TensorFile golden_ = load_tensors("tests/golden/papers.safetensors", arena_);
};

}  // namespace

TEST_P(GoldenPapers, TermsAndGradientsOfAStepAreThoseOfPyTorch) {
  const Case& c = GetParam();
  Learner learner(c.method, pairs(c.options), run_of(c));
  golden::fill(learner.student(), arena_);
  if (learner.teacher()) golden::fill(*learner.teacher(), arena_, "teacher.");
  learner.go_to(c.step);
  learner.begin_step();
  Tape tape(arena_);
  LossTerms log;
  const Var total = learner.backward(tape, batch_of(c, learner.phase(), arena_), log);
  close("loss.total", total.value());
  for (const auto& [name, loss] : log.terms)
    if (name.starts_with("pdcr")) close("loss." + name, loss.value());
  const auto gradients = golden::torch_gradients(learner.student(), arena_);
  double all = 0;
  for (const auto& [name, g] : gradients) all = std::hypot(all, golden::norm(golden::values(g)));
  ASSERT_GT(all, 0);
  for (const auto& [key, want] : golden_.tensors) {
    const std::string begin = c.name + ".grad.";
    EXPECT_TRUE(!key.starts_with(begin) || gradients.contains(key.substr(begin.size()))) << key;
  }
  for (const auto& [name, g] : gradients) {
    if (golden_.tensors.contains(c.name + ".grad." + name))
      close("grad." + name, golden::summary(arena_, name, g));
    else EXPECT_LE(golden::norm(golden::values(g)), 1e-9 * all) << name << " has no gradient in PyTorch";
  }
}

INSTANTIATE_TEST_SUITE_P(PyTorch, GoldenPapers, testing::ValuesIn(kCases), [](const auto& info) {
  std::string name = info.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});
