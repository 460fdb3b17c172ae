#include "train/audit/audit_setup.h"

#include <CLI/CLI.hpp>

#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/text.h"
#include "train/setup/batches.h"
#include "train/setup/model_file.h"
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
  o.add("widths", network.widths, "Channels of the UNet's levels", at_least(1));
  o.add("weights", weights, "Start from these instead of the initial ones");
  o.add("steps", steps, "Training steps before the audited one", kNotNegative);
  o.add("seed", seed, "Of weights, batches and everything drawn");
  o.add("threads", threads, "0: all cores", kNotNegative);
  o.declare_to(app);
  declare_method_options(app, *options);
}

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
    get_weights(load_tensors(weights, Arena("weights")), step.student(), weights);
    step.teacher().copy_from(step.student());
  }
  BatchStream batches(step.learner(), c, dataset);
  for (int64_t i = 0;; ++i) {
    step.set(batches.next(i), i);
    if (i == steps) break;
    step.train(0.01);
    out.history.push_back(norms_by_layer(step.layout(), step.student().grads()));
  }
  const Phase& phase = step.learner().phase();
  TextOut s;
  s << method << " on " << data << ", " << phase.labeled << " labelled + " << phase.unlabeled
    << " unlabelled images of " << size << 'x' << size << ", step " << steps << ", seed " << seed;
  out.what = s.str();
  return out;
}

}  // namespace patchcl
