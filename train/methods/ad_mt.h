// Alternating diverse teachers, AD-MT (Zhao et al., ECCV 2024; METHODS 7.4): one student, two teachers of
// which one is active at a time; which one changes after 1 to 50 iterations.
//
//   p    = w p1 + (1-w) p2,  w = e^{-h1} / (e^{-h1} + e^{-h2}) per pixel, h the entropy, base 2; the active
//          teacher in training mode, the other in evaluation mode
//   y, c = argmax p, max p;  D = pixels where argmax p1 != argmax p2
//   x    = the strong view of u when the first is active; u with CutMix when the second is (y, c, D likewise)
//   on D, where the student's own y_s != y and c_s > c:  y <- y_s, c <- c_s
//   L    = 1/2 (CE + Dice)(x_l) + 2 w(t) Dice(student(x), y; pixels with c >= 0.95)
//   then: active teacher <- a teacher + (1-a) student,  a = 0 for s < 50, else min(1 - 1/(s - 49), ema),
//         s = floor(t/2)
// Ours: y_s and c_s, of the plain u, are cut as the image is (--cut-decisions false compares them uncut, as
// released), and the second teacher starts as the student (--second-teacher random: from weights of its own,
// as released); either is a copy of the student until step 100.
#pragma once
#include <memory>

#include "train/methods/semi_supervised.h"

namespace patchcl {

// Which teacher is active at an iteration: a function of the seed, so a resume needs no state.
bool first_teacher_is_active(uint64_t seed, int64_t iteration);
// a of the update after iteration t.
double alternating_alpha(int64_t t, double ema);

class AdMt final : public SemiSupervised {
 public:
  AdMt();
  void resolve(const RunShape& run) override;
  void start(const TrainState& s) override;
  void save(TensorFile& file) const override;
  void load(const TensorFile& file) override;
  Var loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) override;
  bool recordable() const override { return false; }  // the host decides between the teachers

 protected:
  // The active teacher's; the other one is in evaluation mode. What is asked for holds for both.
  PredictMode usual_mode() const override { return kTraining; }
  bool has_one_mode() const override { return false; }
  const ParamStore& averaged(const TrainState& s) const override;
  double decay(const TrainState& s) const override;
  std::vector<ViewKind> views() const override;

 private:
  // What the teachers say of the unlabelled images, on the host.
  struct Ensemble {
    Tensor labels, confidence, disputed;  // u8, f32, u8 (n,H,W)
  };
  Ensemble ask_teachers(Step& step, bool first) const;
  // Whether this turn shows other images' boxes instead of other colours.
  bool cuts(bool first) const { return !first && cut_mix_; }
  // The student's own decisions where the teachers disagree and it is surer; then the weights of the pixels.
  void settle(const Tensor& student, const CutMix* cut, Ensemble& y) const;

  bool cut_mix_ = true, cut_decisions_ = true, random_second_ = false;
  std::unique_ptr<ParamStore> second_;
};

// The mean of two teachers' probabilities (n,H,W,K) by their certainty, decided: u8, f32, u8 (n,H,W).
void decide_ensemble(const Tensor& p1, const Tensor& p2, const Tensor& labels, const Tensor& confidence,
    const Tensor& disputed);

}  // namespace patchcl
