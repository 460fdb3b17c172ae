// What a semi-supervised method costs: whole steps of each, one after the other in turns, on the same batch.
#include <algorithm>

#include "data/stream/loader.h"
#include "train/bench/bench.h"
#include "train/setup/learner.h"

namespace patchcl::bench {

namespace {

constexpr int64_t kIterations = 1000;            // of the run that the steps pretend to be part of
constexpr int64_t kBegin = kIterations * 3 / 4;  // behind warm-up and ramp-up of every method
constexpr int kWarmUpSteps = 12;                 // until PatchCL's queues are ready

// A method with its network in mid-training.
class MethodStep {
 public:
  MethodStep(const std::string& name, int64_t batch, int64_t size)
      : learner_(name, {}, options(batch, size)) {
    learner_.go_to(kBegin);
  }
  size_t views() const { return learner_.phase().views.size(); }
  // Images in at least as many views.
  void take(const Batch& images) {
    const Phase& phase = learner_.phase();
    batch_ = images;
    batch_.labeled = phase.unlabeled == 0 ? images.size() : phase.labeled;
    batch_.views.resize(views());
  }
  void run() { learner_.step(batch_); }

 private:
  static LearnerOptions options(int64_t batch, int64_t size) {
    LearnerOptions o;
    o.run = {.iterations = kIterations, .batch = batch, .size = size};
    o.run.rate = {.schedule = Schedule::constant, .peak = 0.001, .length = kIterations};
    o.seed = 1;
    return o;
  }
  Learner learner_;
  Batch batch_;
};

}  // namespace

std::vector<MethodTime> measure_methods(
    const std::vector<std::string>& names, int64_t batch, int64_t size, int rounds) {
  const Dataset data = Dataset::open("phantom:cases=8,val=1,slices=4");
  // Every image has a label, so that supervised steps can use all of them; the others look at the first half.
  const Sampler sampler(1, data.items(), 0, batch, 0);
  std::vector<std::unique_ptr<MethodStep>> steps;
  std::vector<ViewKind> views{{}};  // as many as the greediest method takes
  for (const std::string& name : names) {
    steps.push_back(std::make_unique<MethodStep>(name, batch, size));
    views.resize(std::max(views.size(), steps.back()->views()), kStrongView);
  }
  Loader loader(data, sampler, {.seed = 1, .augment = {.size = size}, .views = views});
  const Batch images = loader.next();
  for (const auto& step : steps) {
    step->take(images);
    for (int i = 0; i < kWarmUpSteps; ++i) step->run();
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
