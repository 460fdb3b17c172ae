// What a semi-supervised method costs: whole steps of each, one after the other in turns, on the same batch.
#include <algorithm>

#include "data/stream/loader.h"
#include "train/bench/bench.h"
#include "train/methods/factory.h"
#include "train/optim/optimizer.h"

namespace patchcl::bench {

namespace {

constexpr int64_t kIterations = 1000;            // of the run that the steps pretend to be part of
constexpr int64_t kBegin = kIterations * 3 / 4;  // behind warm-up and ramp-up of every method
constexpr int kWarmUpSteps = 12;                 // until PatchCL's queues are ready

// A method with its network in mid-training.
class MethodStep {
 public:
  MethodStep(const std::string& name, const Batch& batch) : method_(make_method(name, {})), batch_(batch) {
    method_->declare(layout_, {});
    student_ = std::make_unique<ParamStore>(layout_, parameters_, DType::f32, /*with_grad=*/true);
    teacher_ = std::make_unique<ParamStore>(layout_, parameters_, DType::f32, /*with_grad=*/false);
    student_->init(1);
    teacher_->copy_from(*student_);
    sgd_ = std::make_unique<Sgd>(SgdRule{}, layout_.flat_size(), DType::f32, parameters_);
    state_ = {&net_, student_.get(), method_->has_teacher() ? teacher_.get() : nullptr, &activations_,
        parameters_.zeros({2}, DType::i64), 1, kBegin, kIterations};
    method_->start(state_);
    if (!method_->wants_unlabeled()) batch_.labeled = batch.images.shape()[0];
  }

  void run() {
    state_.rng.data<int64_t>()[1] = state_.iteration;
    student_->zero_grad();
    {
      Tape tape(activations_);
      LossTerms log;
      method_->prepare(state_);
      tape.backward(method_->loss(tape, state_, batch_, log));
    }
    sgd_->set(0.001, state_.iteration + 1);
    sgd_->step(student_->values(), student_->grads());
    method_->after_step(state_);
    ++state_.iteration;
  }

 private:
  ParamLayout layout_;
  UNet net_{layout_, {}};
  std::unique_ptr<Method> method_;
  Arena parameters_{"parameters"}, activations_{"activations"};
  std::unique_ptr<ParamStore> student_, teacher_;
  std::unique_ptr<Sgd> sgd_;
  TrainState state_;
  Batch batch_;
};

}  // namespace

std::vector<MethodTime> measure_methods(
    const std::vector<std::string>& names, int64_t batch, int64_t size, int rounds) {
  const Dataset data = Dataset::open("phantom:cases=8,val=1,slices=4");
  // Every image has a label, so that supervised steps can use all of them; the others look at the first half.
  const Sampler sampler(1, data.items(), 0, batch, 0);
  Loader loader(data, sampler, {.seed = 1, .augment = {.size = size}, .strong = true});
  Batch images = loader.next();
  images.labeled = batch / 2;
  std::vector<std::unique_ptr<MethodStep>> steps;
  for (const std::string& name : names) {
    steps.push_back(std::make_unique<MethodStep>(name, images));
    for (int i = 0; i < kWarmUpSteps; ++i) steps.back()->run();
  }
  std::vector<std::vector<double>> seconds(names.size());
  for (int round = 0; round < rounds; ++round)
    for (size_t m = 0; m < names.size(); ++m) {
      const double begin = now();
      steps[m]->run();
      seconds[m].push_back(now() - begin);
    }
  std::vector<MethodTime> times;
  for (size_t m = 0; m < names.size(); ++m) times.push_back({names[m], median(seconds[m])});
  return times;
}

}  // namespace patchcl::bench
