// What methods with a teacher that averages the student share: the average, and how the teacher predicts.
//
//   after each step:  teacher <- alpha teacher + (1 - alpha) student,  parameters and batch-norm buffers
//   alpha = min(1 - 1/(t + 1), ema)                                                            (METHODS 4.4)
// The teacher's batch norms may take its running statistics, an average of the student's, or those of the
// images before it. Running ones lag behind weights that move fast, and wrong statistics make wrong
// pseudo-labels, which a student then learns (METHODS 1.12). Published codes differ: SSL4MIS's and BCP's
// teachers stay in training mode, where the batch's statistics also move the running ones, and drop.
#pragma once
#include <memory>

#include "train/methods/step.h"
#include "train/optim/optimizer.h"

namespace patchcl {

// running: evaluation mode; batch: the batch's; moving: the batch's, which move the running ones too.
enum class TeacherNorm { automatic, running, batch, moving };
enum class TeacherDropout { automatic, off, on };

class AveragedTeacher : public Method {
 public:
  bool has_teacher() const override { return true; }
  void resolve(const RunShape& run) override;
  void start(const TrainState& s) override;
  void after_step(const TrainState& s) override;

 protected:
  void read_teacher();  // ema, teacher-norm, teacher-dropout
  // What "auto" means in this method.
  virtual PredictMode usual_mode() const { return {NormMode::batch_only, /*dropout=*/false}; }
  // false: "auto" is not one mode but several, and stays what it is.
  virtual bool has_one_mode() const { return true; }
  // Whether an average moves after this step, which one, and how slowly.
  virtual bool averages(const TrainState&) const { return has_teacher(); }
  virtual const ParamStore& averaged(const TrainState& s) const { return *s.teacher; }
  virtual double decay(const TrainState& s) const;

  PredictMode teacher_mode() const { return teacher_mode(usual_mode()); }
  // That, and what the options say otherwise.
  PredictMode teacher_mode(PredictMode usual) const;
  // The same without a trace in the teacher's running statistics: for a second look at a step's images, and
  // for pictures.
  PredictMode looking_mode() const;

  double ema_ = 0.99;
  TeacherNorm teacher_norm_ = TeacherNorm::automatic;
  TeacherDropout teacher_dropout_ = TeacherDropout::automatic;

 private:
  std::unique_ptr<Ema> average_;
};

}  // namespace patchcl
