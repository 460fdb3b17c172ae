#include "train/audit/run_audit.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "tensor/device.h"
#include "tensor/random.h"
#include "tensor/text.h"
#include "train/setup/batches.h"
#include "train/setup/checkpoint.h"
#include "train/setup/run_folder.h"

namespace patchcl {

namespace {

constexpr int kSpots = 3;                 // tensors of a spot check
constexpr uint32_t kSpotSite = 0xE00000;  // stream of random numbers that chooses them

}  // namespace

AuditedStep prepare_run(const std::string& run, const std::string& moved) {
  const Checkpoint saved = read_checkpoint(checkpoint_path(run));
  TrainConfig c = from_toml(saved.config, saved.path);
  if (!moved.empty()) c.data = moved;
  c.resume = run;
  c.device = DeviceChoice::cpu;  // where the audit computes, wherever the run did
  use_threads(c.threads);
  const Dataset data = Dataset::open(c.data, c.dataset_options());
  saved.demand_data(data.fingerprint());
  AuditedStep out;
  out.step = std::make_unique<StepAudit>(c.method, c.method_options, c.learner_options(data));
  out.class_names = data.class_names();
  StepAudit& step = *out.step;
  saved.restore(step.student(), step.learner().teacher(), step.method());

  BatchStream batches(step.learner(), c, data);
  step.set(batches.next(std::min(saved.iteration, c.iters - 1)), saved.iteration);
  const Phase& phase = step.learner().phase();
  TextOut s;
  s << c.method << ", the step after step " << saved.iteration << " of " << c.iters << " (" << saved.path
    << "), " << counted(phase.labeled + phase.unlabeled, "image") << " of " << phase.size << 'x'
    << phase.size;
  out.what = s.str();
  return out;
}

std::unique_ptr<StepAudit> audit_of(Learner& learner, const Batch& batch) {
  const Method& method = learner.method();
  auto step = std::make_unique<StepAudit>(method.name(), method.options().values(), learner.options());
  step->student().copy_from(learner.student());
  if (learner.teacher()) step->teacher().copy_from(*learner.teacher());
  TensorFile state;
  method.save(state);
  if (!state.tensors.empty()) step->method().load(state);
  step->set(batch, learner.iteration());
  return step;
}

SpotCheck spot_check(StepAudit& step, uint64_t seed, int64_t iteration) {
  SpotCheck spot;
  nlohmann::json j{{"iteration", iteration + 1}};
  for (const TermGradient& t : step.terms()) {
    nlohmann::json layers;
    for (const LayerNorm& l : norms_by_layer(step.layout(), t.gradient))
      layers[l.layer] = std::abs(t.weight) * l.norm;
    j["terms"].push_back(
        {{"name", t.name}, {"value", t.value}, {"weight", t.weight}, {"gradient_norm", layers}});
  }
  j["loss"] = step.gradient();
  const uint32_t draw = random_bits(seed, uint64_t(iteration), kSpotSite, 0);
  spot.checks = audit_parameters(
      step.student(), [&] { return step.loss(); }, {.seed = draw, .entries = 1, .tensors = kSpots});
  for (const ParameterCheck& c : spot.checks)
    j["checks"].push_back({{"parameter", c.name}, {"error_over_tolerance", c.error_over_tolerance},
        {"verdict", c.verdict()}, {"where", c.where}});
  spot.json = j.dump();
  return spot;
}

void demand(const SpotCheck& spot, int64_t iteration) {
  std::string failed;
  for (const ParameterCheck& c : spot.checks)
    if (c.judged > 0 && !c.ok()) failed += "\n  " + c.name + ": " + c.where;
  if (!failed.empty())
    fail(ExitCode::audit, "audit", "step ", iteration + 1, ": the gradient is wrong", failed,
        "\nlook with: patchcl audit run");
}

}  // namespace patchcl
