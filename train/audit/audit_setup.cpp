#include "train/audit/audit_setup.h"

#include <CLI/CLI.hpp>
#include <numeric>

#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/text.h"
#include "train/evaluate/progress.h"
#include "train/setup/batches.h"
#include "train/setup/model_file.h"
#include "train/setup/run_folder.h"
#include "train/setup/run_record.h"

namespace patchcl {

void AuditSetup::add(CLI::App& app) {
  method = method_of(command_line(), method);
  options = make_method(method);
  OptionList o;
  o.choose("method", method, method_choices(), "Whose loss");
  o.add("data", data, "Folder, or phantom");
  o.add("labeled", labeled, "Labelled cases; -1: all", at_least(-1));
  o.add("size", size, "Height and width of the images", at_least(1));
  o.add("batch", batch, "Images, half of them labelled where the method wants others", at_least(1));
  o.add("weights", weights, "Start from these, or a run folder's, instead of the initial ones");
  o.add("steps", steps, "Training steps before the last one of the method's phases", kNotNegative);
  o.add("phase", phase,
      "Which phase is audited, at its last step: 1 is the first; 0: the last, in `audit model` each of them",
      kNotNegative);
  o.add("seed", seed, "Of weights, batches and everything drawn");
  o.add("threads", threads, "0: all cores", kNotNegative);
  declare_network_options(o, network);
  o.declare_to(app);
  declare_method_options(app, *options);
}

namespace {
// The last step of a phase.
int64_t audited_step(const Learner& learner, int64_t phase, const std::string& method) {
  const std::vector<Phase>& phases = learner.phases();
  if (phase > int64_t(phases.size()))
    fail(ExitCode::usage, "audit", "--phase ", phase, ", but this run of ", method, " has ", phases.size(),
        "; a larger --steps may give it more");
  const auto last = phase > 0 ? phases.begin() + phase : phases.end();
  return std::accumulate(
      phases.begin(), last, int64_t(-1), [](int64_t sum, const Phase& p) { return sum + p.iterations; });
}
}  // namespace

AuditedStep AuditSetup::prepare() const {
  if (threads > 0) set_threads(threads);
  TrainConfig c;
  c.method = method;
  c.seed = seed;
  c.size = size;
  c.batch = batch;
  c.iters = steps + 1;
  c.network = network;
  c.network.dropout.resize(network.widths.size(), network.dropout.back());
  const Dataset dataset = Dataset::open(data, {.labeled = labeled});
  AuditedStep out;
  out.step = std::make_unique<StepAudit>(method, options->options().values(), c.learner_options(dataset));
  StepAudit& step = *out.step;
  if (!weights.empty()) {
    const std::string path = weights_path(weights);
    get_weights(load_tensors(path, Arena("weights")), step.student(), path);
    step.teacher().copy_from(step.student());
  }
  out.phases = step.learner().phases().size();
  const int64_t audited = audited_step(step.learner(), phase, method);
  BatchStream batches(step.learner(), c, dataset);
  ProgressLine line(audited, {.item = "step", .out = stderr});
  for (int64_t i = 0;; ++i) {
    step.set(batches.next(i), i);
    if (i == audited) break;
    step.train(0.01);
    out.history.push_back(norms_by_layer(step.layout(), step.student().grads()));
    line.update(i + 1);
  }
  const Phase& reached = step.learner().phase();
  TextOut s;
  s << method << " on " << data << ", " << reached.name << ", " << reached.labeled << " labelled + "
    << reached.unlabeled << " unlabelled images of " << size << 'x' << size << ", step " << audited
    << ", seed " << seed;
  out.what = s.str();
  return out;
}

}  // namespace patchcl
