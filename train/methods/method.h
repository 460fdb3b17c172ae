// Method: what one training step minimises: supervised, mean-teacher, patchcl ... are one class each,
// registered under its name in its own file. A method says which options it reads, how a run is divided into
// phases, and what the loss of a step is; the learner (train/setup/learner.h) has the network, the optimiser
// and the random state, the loop (train/loop/trainer.h) data, checkpoints and logs.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/picture.h"
#include "data/stream/batch.h"
#include "layers/unet.h"
#include "tensor/io.h"
#include "train/methods/phase.h"
#include "train/methods/terms.h"
#include "train/options/option_list.h"

namespace patchcl {

// What a step computes from the student and holds constant, by name.
using HeldTensors = std::map<std::string, Tensor>;

// Everything a step may look at. Lives as long as the run.
struct TrainState {
  const UNet* model = nullptr;
  ParamStore* student = nullptr;
  ParamStore* teacher = nullptr;  // null when the method has none
  const Arena* arena = nullptr;   // activations of this step
  Tensor rng;                     // i64 (2) on the device: seed, iteration
  uint64_t seed = 0;
  int64_t iteration = 0, iterations = 0;
  size_t stage = 0;             // of the method's own phases (Phase::stage)
  double border_weight = 0;     // of the last class in the cross-entropy of labels (METHODS 9.5)
  HeldTensors* held = nullptr;  // kept from one evaluation of a step to the next, in audits
};

// Scalars of a step by their names (terms.h), in the order in which they print. Values are read back from the
// device when the line is logged, not before.
struct LossTerms {
  std::vector<std::pair<std::string, Var>> terms;      // scalar Vars that the loss is made of
  std::vector<std::pair<std::string, Var>> readings;   // scalar Vars without gradient: weights, shares
  std::vector<std::pair<std::string, double>> values;  // host numbers: counts
};

// Norms of two parts of a step's gradient, before their weights, over the layers that both reach.
struct SharedGradients {
  double supervised = 0, contrast = 0;
};

using NamedPicture = std::pair<std::string, Canvas>;

struct DrawnWindows;  // train/methods/patch_regions.h

class Method {
 public:
  virtual ~Method() = default;
  const std::string& name() const { return name_; }
  // Those that the method reads, with its defaults.
  OptionList& options() { return options_; }
  const OptionList& options() const { return options_; }
  // Once, when all options are set: those that depend on the run, and Error(usage) for those that do not fit
  // together.
  virtual void resolve(const RunShape&) {}
  virtual std::vector<Phase> phases(const RunShape& run) const = 0;
  // Of the learning rate, where the user asks for none.
  virtual Schedule usual_schedule() const { return Schedule::poly; }
  virtual bool has_teacher() const { return false; }
  // Further parameters (a projection head), declared before the stores are made.
  virtual void declare(ParamLayout&, const UNetConfig&) {}
  // Called once after the stores exist and whenever a run starts or resumes.
  virtual void start(const TrainState&) {}
  // Writes what the host decides anew at every step to the device; before each loss().
  virtual void prepare(const TrainState&) {}
  // Records one step on the tape and returns the total loss, shape (1). On a dry tape (a memory plan) the
  // work of the host is left out and the larger of two ways taken: Step::work and Step::plan_for of step.h.
  virtual Var loss(Tape& tape, const TrainState& s, const Batch& b, LossTerms& log) = 0;
  // loss() does none of its work on the host, and its kernels are the same at every iteration of a phase
  // (train/loop/recorded_step.h).
  virtual bool recordable() const { return false; }
  // Whether the loop is to measure the gradients of that step and to show them to the method before it.
  virtual bool measures(int64_t /*iteration*/) const { return false; }
  virtual void see(const SharedGradients&) {}
  // After the optimiser's step: EMA of the teacher, queues.
  virtual void after_step(const TrainState&) {}
  // What the method sees and draws on this batch, for people. Changes nothing.
  virtual std::vector<NamedPicture> pictures(
      const TrainState&, const Batch&, const std::vector<std::string>& /*class_names*/) {
    return {};
  }
  // Windows as loss() draws them, on the images as they are and not as it mixes them; null where it draws
  // none. Changes nothing.
  virtual std::shared_ptr<const DrawnWindows> windows(const TrainState&, const Batch&) { return {}; }
  // State beyond the stores (queues, thresholds) for bit-exact resume.
  virtual void save(TensorFile&) const {}
  virtual void load(const TensorFile&) {}

 protected:
  // Options that several methods read.
  void read_labeled_batch(int64_t& images);
  void read_confidence(double& least);
  void read_largest_component(bool& largest);

 private:
  friend std::unique_ptr<Method> make_method(const std::string& name, const OptionValues& values);
  std::string name_;
  OptionList options_;
};

// A method of the program: AddMethod in its own source file makes it known to train, audit, bench, tests and
// --help.
struct MethodEntry {
  int order;               // position in lists
  std::string name, help;  // "fixmatch", "confident pseudo-labels of the student itself (Sohn et al. 2020)"
  std::unique_ptr<Method> (*make)();
};
// In their order.
const std::vector<MethodEntry>& methods();
std::vector<std::string> method_names();
struct AddMethod {
  explicit AddMethod(MethodEntry entry);
};
template <class M> std::unique_ptr<Method> make() { return std::make_unique<M>(); }

// Error(usage) for an unknown name, and for an option that the method does not read.
std::unique_ptr<Method> make_method(const std::string& name, const OptionValues& values = {});
// The methods that read an option, "mean-teacher, patchcl".
std::string readers_of(const std::string& option);

}  // namespace patchcl
