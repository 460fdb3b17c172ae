#include "train/audit/audit_setup.h"

#include <CLI/CLI.hpp>

#include "data/stream/loader.h"
#include "tensor/device.h"
#include "tensor/parallel.h"
#include "train/setup/model_file.h"

namespace patchcl {

void AuditSetup::add(CLI::App& app) {
  app.add_option("--method", method, "Whose loss")->capture_default_str();
  app.add_option("--data", data, "Folder, or phantom")->capture_default_str();
  app.add_option("--labeled", labeled, "Labelled cases; -1: all")->capture_default_str();
  app.add_option("--size", size, "Height and width of the images")->capture_default_str();
  app.add_option("--batch", batch, "Images, half of them labelled where the method wants others")
      ->capture_default_str();
  app.add_option("--widths", widths, "Channels of the UNet's levels")->delimiter(',')->capture_default_str();
  app.add_option("--weights", weights, "Start from these instead of the initial ones");
  app.add_option("--steps", steps, "Training steps before the audited one")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--seed", seed, "Of weights, batches and everything drawn")->capture_default_str();
  app.add_option("--threads", threads, "0: all cores")->capture_default_str();
  methods.add(app);
}

AuditedStep AuditSetup::prepare() const {
  if (threads > 0) set_threads(threads);
  const Dataset dataset = Dataset::open(data, {.labeled = labeled});
  UNetConfig unet{
      .in_channels = int(dataset.channels()), .classes = int(dataset.classes()), .widths = widths};
  unet.dropout.resize(widths.size(), unet.dropout.back());
  AuditedStep out;
  out.step = std::make_unique<StepAudit>(method, methods, unet, seed);
  StepAudit& step = *out.step;
  if (!weights.empty()) {
    const Arena arena("weights");
    const TensorFile file = load_tensors(weights, arena);
    get_weights(file, step.student(), weights);
    step.teacher().copy_from(step.student());
  }
  const int64_t unlabeled_items = dataset.items() - dataset.labeled_items();
  const bool semi = step.method().wants_unlabeled();
  if (semi && unlabeled_items == 0)
    fail(ExitCode::usage, "audit", method, " wants unlabelled images; lower --labeled");
  const int64_t unlabeled = semi ? batch / 2 : 0;
  const Sampler sampler(seed, dataset.labeled_items(), unlabeled_items, batch - unlabeled, unlabeled);
  Loader loader(dataset, sampler,
      {.seed = seed,
          .augment = {.size = size, .fit = dataset.fit(size)},
          .strong = step.method().wants_strong()});
  for (int64_t i = 0;; ++i) {
    step.set(loader.next(), i, steps + 1);
    if (i == steps) break;
    step.train(0.01);
    out.history.push_back(norms_by_layer(step.layout(), step.student().grads()));
  }
  std::ostringstream s;
  s << method << " on " << data << ", " << batch - unlabeled << " labelled + " << unlabeled
    << " unlabelled images of " << size << 'x' << size << ", step " << steps << ", seed " << seed;
  out.what = s.str();
  return out;
}

}  // namespace patchcl
