#include "train/audit/run_audit.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tensor/text.h"
#include "train/setup/batches.h"
#include "train/setup/checkpoint.h"
#include "train/setup/model_file.h"

namespace patchcl {

namespace {

constexpr int kSpots = 3;                 // tensors of a spot check
constexpr uint32_t kSpotSite = 0xE00000;  // stream of random numbers that chooses them

int64_t iteration_of(const TensorFile& file, const std::string& path) {
  const auto found = file.metadata.find("iteration");
  if (found == file.metadata.end() || !file.metadata.contains("config"))
    fail(ExitCode::checkpoint, "audit", path, " is a weights file, not a checkpoint of a run");
  return std::stoll(found->second);
}

}  // namespace

AuditedStep prepare_run(const std::string& run, const std::string& moved) {
  const std::string path = checkpoint_path(run);
  const TensorFile file = load_tensors(path, Arena("checkpoint"));
  const int64_t iteration = iteration_of(file, path);
  TrainConfig c = from_toml(file.metadata.at("config"), path);
  if (!moved.empty()) c.data = moved;
  c.resume = run;
  c.device = DeviceChoice::cpu;  // where the audit computes, wherever the run did
  set_threads(c.threads);
  const Dataset data = Dataset::open(c.data, c.dataset_options());
  if (file.metadata.contains("data") && file.metadata.at("data") != data.fingerprint())
    fail(ExitCode::checkpoint, "audit", path, " was trained on other cases than those of ", c.data,
        "; say with --data where its data lies");
  AuditedStep out;
  out.step = std::make_unique<StepAudit>(c.method, c.method_options, c.learner_options(data));
  out.class_names = data.class_names();
  StepAudit& step = *out.step;
  get_weights(file, step.student(), path);
  if (step.method().has_teacher()) get_weights(file, step.teacher(), path, "teacher.");
  step.method().load(file);

  BatchStream batches(step.learner(), c, data);
  step.set(batches.next(std::min(iteration, c.iters - 1)), iteration);
  const Phase& phase = step.learner().phase();
  TextOut s;
  s << c.method << ", the step after step " << iteration << " of " << c.iters << " (" << path << "), "
    << counted(phase.labeled + phase.unlabeled, "image") << " of " << phase.size << 'x' << phase.size;
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
