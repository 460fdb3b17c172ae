#include "train/methods/averaged_teacher.h"

namespace patchcl {

namespace {
const Names<TeacherNorm> kTeacherNorms = in_order<TeacherNorm>({"auto", "running", "batch", "moving"});
const Names<TeacherDropout> kTeacherDropouts = in_order<TeacherDropout>({"auto", "false", "true"});

TeacherNorm named(NormMode norm) {
  switch (norm) {
    case NormMode::running: return TeacherNorm::running;
    case NormMode::batch_only: return TeacherNorm::batch;
    case NormMode::batch: return TeacherNorm::moving;
  }
  return TeacherNorm::automatic;
}
}  // namespace

void AveragedTeacher::read_teacher() {
  options().add("ema", ema_, "Decay of the teacher's average", kShare);
  options().choose("teacher-norm", teacher_norm_, kTeacherNorms,
      "Statistics of the teacher's batch norms: running ones, the batch's, or the batch's that move the "
      "running ones; auto: as the method's paper has it, in base and patchcl the batch's");
  options().choose("teacher-dropout", teacher_dropout_, kTeacherDropouts, "Dropout in the teacher");
}

void AveragedTeacher::resolve(const RunShape&) {
  if (!has_one_mode()) return;
  const PredictMode mode = teacher_mode();
  teacher_norm_ = named(mode.norm);
  teacher_dropout_ = mode.dropout ? TeacherDropout::on : TeacherDropout::off;
}

void AveragedTeacher::start(const TrainState& s) {
  average_ = std::make_unique<Ema>(Arena("method", s.student->values().device()));
}

double AveragedTeacher::decay(const TrainState& s) const { return ema_alpha(s.iteration, ema_); }

void AveragedTeacher::after_step(const TrainState& s) {
  if (!averages(s)) return;
  average_->set(decay(s));
  const ParamStore& average = averaged(s);
  average_->update(average.values(), s.student->values());
  average_->update(average.buffers(), s.student->buffers());
}

PredictMode AveragedTeacher::teacher_mode(PredictMode mode) const {
  if (teacher_norm_ == TeacherNorm::running) mode.norm = NormMode::running;
  if (teacher_norm_ == TeacherNorm::batch) mode.norm = NormMode::batch_only;
  if (teacher_norm_ == TeacherNorm::moving) mode.norm = NormMode::batch;
  if (teacher_dropout_ != TeacherDropout::automatic) mode.dropout = teacher_dropout_ == TeacherDropout::on;
  return mode;
}

PredictMode AveragedTeacher::looking_mode() const {
  PredictMode mode = teacher_mode();
  if (mode.norm == NormMode::batch) mode.norm = NormMode::batch_only;
  return mode;
}

}  // namespace patchcl
