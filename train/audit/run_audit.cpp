#include "train/audit/run_audit.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
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

AuditedStep prepare_run(const std::string& run) {
  TrainConfig c;
  read_run_options(run, c);
  if (c.threads > 0) set_threads(c.threads);
  const std::string path = checkpoint_path(run);
  const Arena host("checkpoint");
  const TensorFile file = load_tensors(path, host);
  const int64_t iteration = iteration_of(file, path);

  const Dataset data = Dataset::open(c.data, {.labeled = c.labeled, .validation = c.val});
  const UNetConfig unet{.in_channels = int(data.channels()),
      .classes = int(data.classes()),
      .widths = c.widths,
      .dropout = c.dropout,
      .fused = c.fused};
  AuditedStep out;
  out.step = std::make_unique<StepAudit>(c.method, c.methods, unet, c.seed);
  StepAudit& step = *out.step;
  get_weights(file, step.student(), path);
  if (step.method().has_teacher()) get_weights(file, step.teacher(), path, "teacher.");
  step.method().load(file);

  const Sampler sampler = training_sampler(c, step.method().wants_unlabeled(), data);
  Loader loader(data, sampler, loader_options(c, step.method().wants_strong(), data), iteration);
  step.set(loader.next(), iteration, c.iters);
  std::ostringstream s;
  s << c.method << ", the step after step " << iteration << " of " << c.iters << " (" << path << "), "
    << sampler.batch_size() << " images of " << c.size << 'x' << c.size;
  out.what = s.str();
  return out;
}

std::unique_ptr<StepAudit> audit_of(
    const TrainConfig& config, const Method& method, const TrainState& s, const Batch& batch) {
  auto step = std::make_unique<StepAudit>(config.method, config.methods, s.model->config(), s.seed);
  step->student().copy_from(*s.student);
  if (s.teacher) step->teacher().copy_from(*s.teacher);
  TensorFile state;
  method.save(state);
  if (!state.tensors.empty()) step->method().load(state);
  step->set(batch, s.iteration, s.iterations);
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
