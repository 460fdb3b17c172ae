#include "train/loop/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "data/stream/fold_file.h"
#include "tensor/file.h"
#include "tensor/text.h"
#include "train/audit/run_audit.h"
#include "train/audit/term_report.h"
#include "train/evaluate/held_out_pictures.h"
#include "train/evaluate/report.h"
#include "train/evaluate/run_report.h"
#include "train/evaluate/table.h"
#include "train/loop/memory_plan.h"
#include "train/evaluate/progress.h"
#include "train/loop/stop_signals.h"
#include "train/methods/uncertainty_sheet.h"
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
  if (!goes_on_in(config_.resume, config_.out) && fs::exists(fs::path(config_.out) / "last.safetensors"))
    fail(ExitCode::usage, "train", config_.out, " holds a run already; go on with --resume ",
        in_shell(config_.out), ", or choose another --out");
  if (!config_.weights.empty()) start_from_weights(*learner_, config_.weights);
  if (!config_.resume.empty())
    progress_ = load_checkpoint(checkpoint_path(config_.resume), *learner_, resolved_, dataset_.fingerprint(),
        config_.allow_other_bits);
  if (!config_.resume.empty() && !goes_on_in(config_.resume, config_.out))
    copy_run(config_.resume, config_.out, resolved_);
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
    const Var loss = learner_->backward(tape, batch, log);
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
    if (v == 0 || learner_->phase().views[v].own_geometry)
      copy(batch.views[v].labels, recorded_batch_.views[v].labels);
  }
  learner_->begin_step();
  recorded_->run();
  if (log_now && !std::isfinite(recorded_->loss().value().item())) explain_non_finite(batch);
  if (log_now) log_step(recorded_->loss(), recorded_->log());
  learner_->end_step();
}

// Runs the step again with every value checked, so that the message names the first op that went wrong.
void Trainer::explain_non_finite(const Batch& batch) {
  TextOut s;
  s << "; step " << learner_->iteration() + 1 << ", images:";
  for (size_t i = 0; i < batch.ids.size(); ++i) s << (i ? ", " : " ") << i << ' ' << batch.ids[i];
  s << "; the last checkpoint is untouched. Try a lower --lr, or look at the image";
  const std::string context = s.str();
  try {
    Tape tape(Arena("anomaly", learner_->options().device), {.check_finite = true});
    LossTerms log;
    learner_->backward(tape, batch, log);
  } catch (const Error& e) {
    throw Error(ExitCode::non_finite, e.what() + context);
  }
  fail(ExitCode::non_finite, "train", "loss or gradient is not finite, but no single op's value is", context);
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
  if (validated_ != learner_->iteration()) checkpoint();
  if (learner_->iteration() == config_.iters) write_results();
  return Outcome::finished;
}

void Trainer::open_folder() {
  if (log_) return;
  update_text(config_.out + "/config.toml", resolved_);
  for (const char* of_a_shorter_run : {"/results.json", "/results.md"})
    fs::remove(config_.out + of_a_shorter_run);
  record_run(config_.out, config_.data, dataset_);
  std::printf("%s%s", config_.describe().c_str(), dataset_.describe().c_str());
  if (!config_.resume.empty())
    std::printf("goes on at step %lld of %lld\n", static_cast<long long>(learner_->iteration()),
        static_cast<long long>(config_.iters));
  log_ = std::make_unique<RunLog>(config_.out, learner_->iteration(), config_.tensorboard);
}

// All steps were done before; a kill may have come before the results.
Outcome Trainer::finished_already() {
  const bool validates = dataset_.validation_cases() > 0;
  if (fs::exists(config_.out + (validates ? "/results.json" : "/report.html"))) {
    std::printf(
        "%s: finished already, all %lld steps\n", config_.out.c_str(), static_cast<long long>(config_.iters));
    return Outcome::finished;
  }
  if (validates) score();
  write_results();
  return Outcome::finished;
}

// Between two phases. After a resume at this very step it is done again, from the same files.
void Trainer::begin_phase(ProgressLine& line) {
  const Phase& before = learner_->phases()[learner_->phase_number() - 1];
  std::string from = "the last weights";
  const std::string best = config_.out + "/best.safetensors",  // of this phase; the next may find better ones
      kept = config_.out + "/best-" + before.name + ".safetensors";
  if (learner_->phase().start == Phase::Start::best && fs::exists(best)) {
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
      if (validated_ != learner_->iteration()) checkpoint();
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
  line.update(done, terms_text_);
}

void Trainer::score() {
  const MetricOptions metrics = MetricOptions::ssl4mis();
  const InferenceOptions inference{.fit = info_.fit, .size = config_.size, .border = info_.border};
  HeldOutPictures pictures({info_.class_names.begin() + 1, info_.class_names.end()},
      {&learner_->unet(), &learner_->student()}, inference, learner_->activations());
  const auto see = [&](const Volume& v, const Segmentation& s, const CaseScores& scores) {
    pictures.see(v, s.classes, scores);
  };
  // Dice alone decides; distances cost seconds per volume and wait for results or `patchcl eval`.
  validation_ = validate(
      learner_->unet(), learner_->student(), dataset_.validation_cases(),
      [&](int64_t i) { return dataset_.validation(i); }, inference, metrics, learner_->activations(), see);
  pictures.draw(config_.out + "/overlays", config_.picture_type(), config_.pictured(learner_->iteration()));
}

// The next phase that starts from the best weights, be it behind others, takes the optimiser's state too.
bool Trainer::later_phase_goes_on() const {
  const std::vector<Phase>& phases = learner_->phases();
  for (size_t i = learner_->phase_of(learner_->iteration() - 1) + 1; i < phases.size(); ++i)
    if (phases[i].start == Phase::Start::best) return phases[i].keep_optimizer;
  return false;
}

void Trainer::validate_now() {
  score();
  const int64_t iteration = validated_ = learner_->iteration();
  log_->write_validation(iteration, validation_, info_.class_names);
  if (!(validation_.mean.dice > progress_.best_dice)) return;
  progress_ = {validation_.mean.dice, iteration};
  info_.iteration = iteration;
  TensorFile file;
  put_model_info(file, info_);
  put_weights(file, learner_->student(), iteration);
  if (later_phase_goes_on()) put_optimizer(file, *learner_);
  save_tensors(config_.out + "/best.safetensors", file);
  write_text(config_.out + "/best.json", to_json(validation_, info_.class_names));
}

// Before the step, so that a wrong gradient moves no weight.
void Trainer::audit(const Batch& batch) {
  const int64_t iteration = learner_->iteration();
  const SpotCheck spot = spot_check(*audit_of(*learner_, batch), config_.seed, iteration);
  log_->write_audit(spot.json);
  demand(spot, iteration);
}

void Trainer::draw_pictures(const Batch& batch) {
  const fs::path folder = fs::path(config_.out) / "pictures";
  const std::string when = std::to_string(learner_->iteration()) + config_.picture_type();
  std::vector<NamedPicture> all = learner_->method().pictures(learner_->state(), batch, info_.class_names);
  for (NamedPicture& picture : uncertainty_sheet(learner_->state(), batch)) all.push_back(std::move(picture));
  for (const auto& [name, canvas] : all) {
    make_folders(folder);
    canvas.save((folder / (name + "-" + when)).string());
  }
}

void Trainer::checkpoint() {
  log_->sync();
  info_.iteration = learner_->iteration();
  save_checkpoint(config_.out, info_, *learner_, progress_, resolved_, dataset_.fingerprint());
  record_cost(config_.out, cost_);
}

void Trainer::write_results() const {
  if (dataset_.validation_cases() == 0) return write_run_report(config_.out);
  const std::string table = to_table(validation_, info_.class_names);
  std::printf("\n%s after %lld steps (best mean Dice %.4f at step %lld: %s/best.safetensors)\n%s",
      config_.method.c_str(), static_cast<long long>(learner_->iteration()), progress_.best_dice,
      static_cast<long long>(progress_.best_iteration), config_.out.c_str(), table.c_str());
  write_text(config_.out + "/results.md", table);
  const std::string results = to_json(validation_, info_.class_names);
  write_run_report(config_.out, results);
  write_text(config_.out + "/results.json", results);  // the last: a run that has it is complete
}

}  // namespace patchcl
