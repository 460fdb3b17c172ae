// patchcl walkthrough: one PatchCL step on two 8x8 images with two classes, every intermediate printed.
// docs/walkthrough.md reads it aloud. The images are a bright square on dark ground; one is labelled, the
// other is not.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>

#include "losses/dot.h"
#include "losses/guided_contrastive.h"
#include "train/commands/command.h"
#include "train/commands/walkthrough_papers.h"
#include "train/commands/walkthrough_step.h"
#include "train/methods/patch_entropy.h"

namespace patchcl {
namespace {

using namespace walkthrough;

// The step, recorded with every value and gradient kept.
struct Example {
  std::unique_ptr<StepAudit> audit = walkthrough_step();
  StepAudit& step = *audit;
  const Batch& batch = step.batch();
  Arena arena{"walkthrough"};
  Tape tape{arena, {.keep = true}};
  LossTerms log;
  Var total;

  Example() {
    step.student().zero_grad();
    total = step.record(tape, log);
    tape.backward(total);
  }

  const Tape::Node& node(const std::function<bool(const Tape::Node&)>& is) const {
    for (const Tape::Node& n : tape.nodes())
      if (is(n)) return n;
    fail(ExitCode::internal, "walkthrough", "the step has no such node");
  }
  const Tape::Node& op(const std::string& name) const {
    return node([&](const Tape::Node& n) { return n.op && n.op->name() == name; });
  }
  const Tensor& input(const Tape::Node& n, size_t i) const { return tape.nodes()[size_t(n.inputs[i])].value; }
  const Tensor& target() const {
    return node([](const Tape::Node& n) { return n.label == "target"; }).value;
  }
  double term(const std::string& name) const {
    for (const auto* list : {&log.terms, &log.readings})
      for (const auto& [n, v] : *list)
        if (n == name) return v.value().item();
    for (const auto& [n, v] : log.values)
      if (n == name) return v;
    fail(ExitCode::internal, "walkthrough", "the step has no term ", name);
  }
};

// A map of 8x8 numbers, `stride` apart.
template <class T>
void print_map(const char* title, const T* values, int64_t stride = 1, int64_t side = kSide) {
  std::printf("%s\n", title);
  for (int64_t y = 0; y < side; ++y) {
    for (int64_t x = 0; x < side; ++x) std::printf("%6.2f", double(values[(y * side + x) * stride]));
    std::printf("\n");
  }
}

void print_images(Example& e) {
  print_map("x_l, the labelled image", e.batch.images().data<double>());
  print_map("y, its label", e.batch.labels().data<uint8_t>());
  print_map("x_u, the unlabelled image", e.batch.images().data<double>() + kSide * kSide);
}

void print_teacher(Example& e) {
  print_map("p'(1), the teacher's probability of class 1 in x_u", e.target().data<double>() + 1, kClasses);
}

// PatchImages of the unlabelled image with the teacher's softmax, in f32 as the sampler sees them.
struct Seen {
  explicit Seen(const Example& e) : image(kSide * kSide), confidence(size_t(kSide * kSide * kClasses)) {
    std::copy_n(e.batch.images().data<double>() + kSide * kSide, image.size(), image.begin());
    std::copy_n(e.target().data<double>(), confidence.size(), confidence.begin());
    batch = {1, kSide, kSide, 1, kClasses, image.data(), confidence.data()};
  }
  std::vector<float> image, confidence;
  PatchImages batch;
};

void print_entropy(Example& e) {
  const Seen seen(e);
  const std::vector<float> h = entropy_map(seen.batch, 0, 1, EntropyOf::confidence);
  print_map("h, the entropy of p'(1) in bits", h.data());
  const WindowGrid grid(kSide, kSide, kPatch, kStride);
  const std::vector<float> H = window_means(h, grid),
                           C = window_means(confidence_map(seen.batch, 0, 1), grid);
  print_map("H, its mean over windows of 4x4, stride 2", H.data(), 1, grid.rows);
  print_map("C, the mean of p'(1) over the same windows", C.data(), 1, grid.rows);
  std::vector<float> weight;
  for (const float v : H) weight.push_back(std::max(1 - v, 1e-3f));
  print_map("max(1 - H, 0.001), the weight of a window", weight.data(), 1, grid.rows);
}

void print_losses(Example& e) {
  std::printf("CE            %.6f\nDice          %.6f\nL_sup         %.6f   (CE + Dice) / 2\n",
      e.term(term::ce), e.term(term::dice), (e.term(term::ce) + e.term(term::dice)) / 2);
  std::printf("L_cons        %.6f\nweight        %.6f   gamma w(t)\n", e.term(term::consistency),
      e.term(reading::consistency_weight));
  std::printf("L_plg         %.6f\nbeta          %.6f\n", e.term(term::contrast), kBeta);
  std::printf("L             %.6f   L_sup + beta L_plg + gamma w(t) L_cons\n", e.total.value().item());
}

// L_plg once more, in five lines, beside what the op says.
void print_contrast(Example& e) {
  const Tape::Node& loss = e.op("guided_contrastive");
  const Tensor &t = e.input(loss, 0), &classes = e.input(loss, 1), &mu = e.input(loss, 2),
               &sigma = e.input(loss, 3);
  const int64_t n = t.shape()[0], D = t.shape()[1];
  const GuidedContrastiveOptions& o = kLoss;
  std::printf("tau %g, lambda %g, psi %g, K %d\n\nanchor class     s_i0     s_i1    pi_0    pi_1   loss\n",
      o.tau, o.lambda, o.psi, int(kClasses));
  double mean = 0;
  for (int64_t a = 0; a < n; ++a) {
    const double* ta = t.data<double>() + a * D;
    const int64_t i = classes.data<int32_t>()[a];
    double s[kClasses], sum = 0;
    for (int64_t j = 0; j < kClasses; ++j) {
      double quadratic = 0;
      for (int64_t d = 0; d < D; ++d) quadratic += ta[d] * dot(sigma.data<double>() + (j * D + d) * D, ta, D);
      s[j] = dot(ta, mu.data<double>() + j * D, D) / o.tau + o.lambda / (2 * o.tau * o.tau) * quadratic;
      sum += (j == i ? 1 : o.psi / double(kClasses)) * std::exp(s[j]);
    }
    const double own = dot(ta, mu.data<double>() + i * D, D) / o.tau, value = std::log(sum) - own;
    mean += value / double(n);
    const auto pi = [&](int64_t j) { return (j == i ? 1 : o.psi / double(kClasses)) * std::exp(s[j]) / sum; };
    std::printf("%6d %5d %8.4f %8.4f %7.4f %7.4f %6.4f\n", int(a), int(i), s[0], s[1], pi(0), pi(1), value);
  }
  std::printf("\nmean %.6f, the op says %.6f\n", mean, loss.value.item());
}

void print_backward(Example& e) {
  std::printf("%-18s", "term");
  const auto layers = norms_by_layer(e.step.layout(), e.step.student().grads());
  for (const LayerNorm& l : layers) std::printf(" %18s", l.layer.c_str());
  std::printf("\n");
  const auto row = [&](const std::string& name, double weight, const Tensor& gradient) {
    std::printf("%-18s", name.c_str());
    for (const LayerNorm& l : norms_by_layer(e.step.layout(), gradient))
      std::printf(" %18.4g", std::abs(weight) * l.norm);
    std::printf("\n");
  };
  row("L", 1, e.step.student().grads());
  for (const TermGradient& t : e.step.terms()) row(t.name, t.weight, t.gradient);
}

void print_update(Example& e) {
  const int64_t at = 0;
  e.step.gradient();
  const double w = e.step.student().values().data<double>()[at],
               g = e.step.student().grads().data<double>()[at];
  const double teacher = e.step.teacher().values().data<double>()[at];
  e.step.train(0.1);
  std::printf(
      "first weight of encoder.in_conv\ngradient       %+.6f\nstudent before %+.6f\nstudent after  %+.6f   w "
      "- 0.1 g\n",
      g, w, e.step.student().values().data<double>()[at]);
  std::printf("teacher before %+.6f\nteacher after  %+.6f   alpha = min(1 - 1/(t+1), %g)\n", teacher,
      e.step.teacher().values().data<double>()[at], kEma);
}

// Of the step, or of numbers of its own.
struct Section {
  const char *name, *help;
  void (*print)(Example&) = nullptr;
  void (*print_alone)() = nullptr;
};
const Section kSections[] = {
    {"images", "What goes in", print_images},
    {"teacher", "The teacher's prediction on the unlabelled image", print_teacher},
    {"entropy", "Patch entropy and sampling weights of class 1", print_entropy},
    {"losses", "The terms of the loss", print_losses},
    {"contrast", "The guided contrastive loss, anchor by anchor", print_contrast},
    {"backward", "Gradient norms by term and layer", print_backward},
    {"update", "One weight of student and teacher", print_update},
    {"local", "Supervised local contrast (Hu et al.) of six pixels", nullptr, print_local_contrast},
    {"affinity", "Graded contrast (PDCR) of three windows", nullptr, print_affinity},
    {"gate", "Features weighted by certainty (UAFS)", nullptr, print_gate},
};

AddCommand command{
    {70, "walkthrough", "Print every intermediate of one tiny PatchCL step (docs/walkthrough.md)",
        "Examples:\n"
        "  patchcl walkthrough            all sections\n"
        "  patchcl walkthrough entropy    one of them\n"
        "docs/walkthrough.md explains them in order.",
        [](CLI::App& app) -> std::function<int()> {
          auto wanted = std::make_shared<std::string>();
          std::vector<std::string> names;
          for (const Section& s : kSections) names.push_back(s.name);
          app.add_option("section", *wanted, "One section; all when left out")->check(CLI::IsMember(names));
          return [wanted] {
            std::unique_ptr<Example> example;
            for (const Section& s : kSections) {
              if (!wanted->empty() && *wanted != s.name) continue;
              if (wanted->empty()) std::printf("\n== %s: %s\n\n", s.name, s.help);
              if (s.print && !example) example = std::make_unique<Example>();
              s.print ? s.print(*example) : s.print_alone();
            }
            return int(ExitCode::ok);
          };
        }}};

}  // namespace
}  // namespace patchcl
