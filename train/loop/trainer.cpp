#include "train/loop/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "data/layouts/fold_file.h"
#include "tensor/file.h"
#include "tensor/text.h"
#include "train/audit/run_audit.h"
#include "train/audit/term_report.h"
#include "train/evaluate/report.h"
#include "train/evaluate/table.h"
#include "train/loop/run_report.h"
#include "train/loop/memory_plan.h"
#include "train/evaluate/progress.h"
#include "train/loop/stop_signals.h"
#include "train/setup/batches.h"

namespace patchcl {

namespace fs = std::filesystem;

namespace {

ModelInfo model_info(const TrainConfig& c, const LearnerOptions& o, const Dataset& data) {
  ModelInfo info;
  info.unet = o.network;
  info.size = c.size;
  info.class_names = distinct(data.class_names());
  info.fit = c.fit.value();
  info.border = c.border;
  return info;
}

// The folds of this run for other programs, where the data set does not list them itself.
void save_folds(const TrainConfig& c) {
  if (c.fold.empty()) return;
  const Layout layout = open_layout(c.data, c.read);
  if (layout.folds.empty()) write_text(c.out + "/splits_final.json", folds_json(layout, c.dataset_options()));
}

}  // namespace

Trainer::Trainer(TrainConfig config)
    : config_(std::move(config)), dataset_(Dataset::open(config_.data, config_.dataset_options())),
      staging_(Arena("inputs", device_of(config_.device))) {
  config_.resolve(dataset_);
  const LearnerOptions options = config_.learner_options(dataset_);
  learner_ = std::make_unique<Learner>(config_.method, config_.method_options, options);
  const Method& method = learner_->method();
  if (config_.graph && (options.device != Device::cuda || !method.recordable()))
    fail(ExitCode::usage, "train",
        "--graph true records the GPU's work of methods that leave none to the host; here it is ",
        config_.method, " on the ", options.device == Device::cuda ? "GPU" : "CPU", "; leave it out");
  config_.method_options = method.options().values();
  resolved_ = to_toml(config_, method);
  info_ = model_info(config_, options, dataset_);

  make_folders(config_.out);
  lock_ = std::make_unique<RunLock>(config_.out);
  const bool goes_on_here = goes_on_in(config_.resume, config_.out);
  if (!goes_on_here && (fs::exists(path_of(run_file::last)) || fs::exists(path_of(run_file::before))))
    fail(ExitCode::usage, "train", config_.out, " holds a run already; go on with --resume ",
        in_shell(config_.out), ", or choose another --out");
  if (!config_.weights.empty()) start_from_weights(*learner_, config_.weights);
  if (!config_.resume.empty())
    progress_ = load_checkpoint(checkpoint_path(config_.resume), *learner_, resolved_, dataset_.fingerprint(),
        config_.allow_other_bits);
  if (!config_.resume.empty() && !goes_on_here) copy_run(config_.resume, config_.out, resolved_);
  // A damaged one must not take the place of the one before it, from which the run then goes on.
  std::error_code none;
  if (goes_on_here)
    last_is_whole_ = fs::equivalent(checkpoint_path(config_.resume), path_of(run_file::last), none);
  if (config_.extend > 0)
    std::printf("%s: %lld steps in all; learning rate %.3g, that of a run of this length\n",
        config_.out.c_str(), static_cast<long long>(config_.iters), learner_->learning_rate());
  save_folds(config_);
  keep_labeled(config_.out, config_.dataset_options().labeled.text);
  plan_memory(*learner_);
}

Trainer::~Trainer() = default;

// In the type of the weights, and in the GPU's memory where the run is there. The batch on the host is kept.
Batch Trainer::to_device(const Batch& host) {
  Batch b = config_.dtype == DType::f64 ? in_f64(host) : host;
  if (learner_->options().device == Device::cuda) b = staging_(b);
  b.host = &host;
  return b;
}

void Trainer::step(const Batch& batch, bool log_now) {
  learner_->begin_step();
  const bool cpu = learner_->options().device == Device::cpu;
  {
    Tape tape(learner_->activations(), {.check_finite = config_.anomaly});
    LossTerms log;  // after the tape: its Vars must go first
    const Var loss = backward(tape, batch, log);
    // Reading a loss waits for the device, so a GPU run looks at it only when it logs.
    const bool looks = cpu || log_now;
    const bool finite =
        !looks || (std::isfinite(loss.value().item()) && (!cpu || all_finite(learner_->student().grads())));
    if (finite && log_now) log_step(loss, log);
    if (!finite) {
      log = {};
      explain_non_finite(batch);
    }
  }
  learner_->update();
  learner_->end_step();
}

void Trainer::log_step(const Var& loss, const LossTerms& log) {
  RunLog::Values values{{"lr", learner_->learning_rate()}, {"loss", loss.value().item()}};
  for (const auto* list : {&log.terms, &log.readings})
    for (const auto& [name, v] : *list) values.push_back({name, v.value().item()});
  values.insert(values.end(), log.values.begin(), log.values.end());
  log_->write(learner_->iteration() + 1, values);
  TextOut text;
  text.precision(4);
  for (const auto& [name, v] : values)
    if (name != "lr") text << (name == "loss" ? "" : "  ") << name << ' ' << v;
  terms_text_ = text.str();
}

// The update has happened when the loss is looked at: a loss that is not finite costs the weights in memory,
// no checkpoint.
void Trainer::step_recorded(const Batch& batch, bool log_now) {
  if (recorded_ && learner_->phase_number() != recorded_phase_) recorded_.reset();
  if (!recorded_) {
    recorded_phase_ = learner_->phase_number();
    // Where the recorded kernels read.
    recorded_batch_ = transformed(
        batch, [&](const Tensor& t) { return learner_->parameters().empty(t.shape(), t.dtype()); });
    recorded_batch_.host = nullptr;  // that batch is gone when the next is recorded
    recorded_ = std::make_unique<RecordedStep>(learner_->activations(), [this](Tape& tape, LossTerms& log) {
      const Var loss = learner_->backward(tape, recorded_batch_, log);
      learner_->update();
      return loss;
    });
  }
  for (size_t v = 0; v < batch.views.size(); ++v) {
    copy(batch.views[v].images, recorded_batch_.views[v].images);
    if (has_own_labels(learner_->phase().views, v))
      copy(batch.views[v].labels, recorded_batch_.views[v].labels);
  }
  learner_->begin_step();
  recorded_->run();
  if (log_now && !std::isfinite(recorded_->loss().value().item())) explain_non_finite(batch);
  if (log_now) log_step(recorded_->loss(), recorded_->log());
  learner_->end_step();
}

std::string Trainer::context_of(const Batch& batch) const {
  TextOut s;
  s << "; step " << learner_->iteration() + 1 << ", images:";
  for (size_t i = 0; i < batch.ids.size(); ++i) s << (i ? ", " : " ") << i << ' ' << batch.ids[i];
  s << "; the last checkpoint is untouched. Try a lower --lr, or look at the image";
  return s.str();
}

// The learner's; where the tape checks values, the message about one tells what it was found in.
Var Trainer::backward(Tape& tape, const Batch& batch, LossTerms& log) {
  try {
    return learner_->backward(tape, batch, log);
  } catch (const Error& e) {
    if (e.code() != ExitCode::non_finite) throw;
    throw Error(e.code(), e.what() + context_of(batch));
  }
}

// Runs the step again with every value checked, so that the message names the first op that went wrong.
void Trainer::explain_non_finite(const Batch& batch) {
  Tape tape(Arena("anomaly", learner_->options().device), {.check_finite = true});
  LossTerms log;
  backward(tape, batch, log);
  fail(ExitCode::non_finite, "train", "loss or gradient is not finite, but no single op's value is",
      context_of(batch));
}

Outcome Trainer::run(int64_t until) {
  until = until < 0 ? config_.iters : std::min(until, config_.iters);
  if (learner_->iteration() == config_.iters) return finished_already();
  open_folder();
  const StopSignals signals;
  BatchStream batches(*learner_, config_, dataset_);
  const auto work = [&](int64_t steps) { return work_of(learner_->phases(), steps); };
  ProgressLine line(config_.iters, {.first = learner_->iteration(), .work = work});
  while (learner_->iteration() < until) {
    if (learner_->phase_number() > 0 && learner_->iteration() == learner_->phase_begin()) begin_phase(line);
    const int64_t end = std::min(until, learner_->phase_end());
    if (run_phase(end, batches, signals, line) == Outcome::interrupted) return Outcome::interrupted;
  }
  if (saved_ != learner_->iteration()) checkpoint();
  if (learner_->iteration() == config_.iters) write_results();
  return Outcome::finished;
}

// Between two phases. After a resume at this very step it is done again, from the same files.
void Trainer::begin_phase(ProgressLine& line) {
  const Phase& before = learner_->phases()[learner_->phase_number() - 1];
  std::string from = "the last weights";
  const std::string best = path_of(run_file::best),  // of this phase; the next may find better ones
      kept = path_of(best_of(before.name));
  if (learner_->phase().start == Phase::Start::best && progress_.best_iteration > 0) {
    if (!fs::exists(kept)) write_bytes(kept, read_bytes(best));
    const TensorFile file = load_tensors(kept, Arena("best weights"));
    get_weights(file, learner_->student(), kept);
    if (learner_->phase().keep_optimizer) get_optimizer(file, *learner_, kept);
    from = "the best weights of step " + std::to_string(progress_.best_iteration);
    progress_ = {};
  }
  learner_->enter_phase();
  staging_ = Staging(Arena("inputs", learner_->options().device));  // batches of another shape
  line.say("step " + std::to_string(learner_->iteration()) + "  " + learner_->phase().name + ", " +
           std::to_string(learner_->phase().iterations) + " steps from " + from);
}

Outcome Trainer::run_phase(
    int64_t until, BatchStream& batches, const StopSignals& signals, ProgressLine& line) {
  while (learner_->iteration() < until) {
    const std::clock_t begin = std::clock();
    const int64_t next = learner_->iteration() + 1;
    const Batch host = batches.next(next - 1);
    const Batch batch = to_device(host);
    if (learner_->method().measures(next - 1))
      learner_->method().see(shared_gradients(*audit_of(*learner_, host)));
    if (config_.audit_every > 0 && next % config_.audit_every == 0) audit(host);
    const bool log_now = next % config_.log_every == 0 || next == config_.iters;
    config_.graph ? step_recorded(batch, log_now) : step(batch, log_now);
    cost_.add_step_since(begin);
    after_step(batch, line);
    if (signals.asked() && learner_->iteration() < config_.iters) {
      if (saved_ != learner_->iteration()) checkpoint();
      line.say("interrupted at step " + std::to_string(learner_->iteration()) +
               "; go on with: patchcl train --resume " + in_shell(config_.out));
      return Outcome::interrupted;
    }
  }
  return Outcome::finished;
}

void Trainer::after_step(const Batch& batch, ProgressLine& line) {
  const int64_t done = learner_->iteration();
  const bool last = done == config_.iters;
  const auto due = [&](int64_t every) { return last || (every > 0 && done % every == 0); };
  if (due(config_.picture_every)) draw_pictures(batch);
  if (dataset_.validation_cases() > 0 && due(config_.val_every)) {
    validate_now();
    line.say("step " + std::to_string(done) + "  validation " + one_line(validation_, info_.class_names) +
             (progress_.best_iteration == done ? "  (best)" : ""));
    checkpoint();
    if (!last) write_run_report(config_.out);
  }
  // A kill without a warning loses no more than the steps since then, validated or not.
  if (due(config_.checkpoint_every) && saved_ != done) checkpoint();
  line.update(done, terms_text_);
}

}  // namespace patchcl
