// What a training writes: logs, pictures, validations, checkpoints, results.
#include <cstdio>
#include <filesystem>

#include "tensor/file.h"
#include "train/audit/run_audit.h"
#include "train/evaluate/held_out_pictures.h"
#include "train/evaluate/report.h"
#include "train/evaluate/table.h"
#include "train/loop/run_report.h"
#include "train/loop/trainer.h"
#include "train/methods/uncertainty_sheet.h"

namespace patchcl {

namespace fs = std::filesystem;

void Trainer::open_folder() {
  if (log_) return;
  update_text(path_of(run_file::config), resolved_);
  for (const char* of_a_shorter_run : {run_file::results, run_file::results_table})
    fs::remove(path_of(of_a_shorter_run));
  if (config_.resume.empty()) forget_best(config_.out);
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
  if (fs::exists(path_of(validates ? run_file::results : run_file::report))) {
    std::printf(
        "%s: finished already, all %lld steps\n", config_.out.c_str(), static_cast<long long>(config_.iters));
    return Outcome::finished;
  }
  if (validates) score();
  write_results();
  return Outcome::finished;
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
  pictures.draw(path_of(run_file::overlays), config_.picture_type(), config_.pictured(learner_->iteration()));
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
  const int64_t iteration = learner_->iteration();
  log_->write_validation(iteration, validation_, info_.class_names);
  if (!(validation_.mean.dice > progress_.best_dice)) return;
  progress_ = {validation_.mean.dice, iteration};
  info_.iteration = iteration;
  TensorFile file;
  put_model_info(file, info_);
  put_weights(file, learner_->student(), iteration);
  demand_finite(file, iteration);
  if (later_phase_goes_on()) put_optimizer(file, *learner_);
  save_tensors(path_of(run_file::best), file);
  write_text(path_of(run_file::best_scores), to_json(validation_, info_.class_names));
}

// Before the step, so that a wrong gradient moves no weight.
void Trainer::audit(const Batch& batch) {
  const int64_t iteration = learner_->iteration();
  const SpotCheck spot = spot_check(*audit_of(*learner_, batch), config_.seed, iteration);
  log_->write_audit(spot.json);
  demand(spot, iteration);
}

void Trainer::draw_pictures(const Batch& batch) {
  const fs::path folder = path_of(run_file::pictures);
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
  record_cost(config_.out, cost_);  // first: behind the last checkpoint nothing would write it again
  info_.iteration = saved_ = learner_->iteration();
  save_checkpoint(
      config_.out, info_, *learner_, progress_, resolved_, dataset_.fingerprint(), last_is_whole_);
  last_is_whole_ = true;
}

void Trainer::write_results() const {
  if (dataset_.validation_cases() == 0) return write_run_report(config_.out);
  const std::string table = to_table(validation_, info_.class_names);
  std::printf("\n%s after %lld steps (best mean Dice %.4f at step %lld: %s)\n%s", config_.method.c_str(),
      static_cast<long long>(learner_->iteration()), progress_.best_dice,
      static_cast<long long>(progress_.best_iteration), path_of(run_file::best).c_str(), table.c_str());
  write_text(path_of(run_file::results_table), table);
  const std::string results = to_json(validation_, info_.class_names);
  write_run_report(config_.out, results);
  write_text(path_of(run_file::results), results);  // the last: a run that has it is complete
}

}  // namespace patchcl
