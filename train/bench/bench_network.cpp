// Whole steps of the UNet on random images, and where the time of a step goes.
#include <map>
#include <tuple>

#include "tensor/cuda.h"
#include "tensor/device.h"
#include "tensor/random.h"
#include "train/bench/bench.h"
#include "train/loop/recorded_step.h"
#include "train/setup/learner.h"

namespace patchcl::bench {

struct Network::Impl {
  Learner learner;
  Batch batch;
  std::unique_ptr<RecordedStep> recorded;

  static LearnerOptions options(int64_t batch, int64_t size, Device device) {
    LearnerOptions o;
    o.run = {.iterations = 1 << 20, .batch = batch, .size = size};
    o.run.rate = {.schedule = Schedule::constant, .peak = 0.01, .length = 1 << 20};
    o.seed = 1;
    o.device = device;
    o.network.ranges = math_mode() == MathMode::int8;
    return o;
  }
  Impl(int64_t n, int64_t size, Device device, bool graph)
      : learner("supervised", {}, options(n, size, device)) {
    const Arena host("bench");
    const Tensor pixels = host.empty({n, size, size, 1}, DType::f32),
                 classes = host.empty({n, size, size}, DType::u8);
    Rng random(2);
    for (int64_t i = 0; i < pixels.numel(); ++i) {
      pixels.data<float>()[i] = float(random.uniform());
      classes.data<uint8_t>()[i] = uint8_t(random.below(4));
    }
    batch.views = {{moved(pixels), moved(classes)}};
    batch.labeled = n;
    if (math_mode() == MathMode::int8) calibrate();
    if (!graph) return;
    recorded = std::make_unique<RecordedStep>(learner.activations(), [this](Tape& tape, LossTerms& log) {
      const Var loss = learner.backward(tape, batch, log);
      learner.update();
      return loss;
    });
  }
  void calibrate() {
    set_math_mode(MathMode::f32);
    Tape tape(learner.activations(), {.grad = false});
    Pass pass(tape, learner.student(), /*training=*/false);
    pass.note_ranges();
    learner.unet().forward(pass, tape.constant(batch.images()));
    set_math_mode(MathMode::int8);
  }
  Tensor moved(const Tensor& from) const {
    const Tensor to = learner.parameters().empty(from.shape(), from.dtype());
    copy(from, to);
    return to;
  }
};

Network::Network(int64_t batch, int64_t size, Device device, bool graph)
    : impl_(std::make_unique<Impl>(batch, size, device, graph)) {}
Network::~Network() = default;
void Network::wait() {
  if (impl_->learner.options().device == Device::cuda) cuda::synchronize();
}

double Network::planned_bytes() const { return double(impl_->learner.planned_bytes()); }

void Network::train() {
  Learner& learner = impl_->learner;
  learner.begin_step();
  if (impl_->recorded) impl_->recorded->run();
  else {
    Tape tape(learner.activations());
    LossTerms log;
    learner.backward(tape, impl_->batch, log);
    learner.update();
  }
  learner.end_step();
}

void Network::infer() {
  Learner& learner = impl_->learner;
  Tape tape(learner.activations(), {.grad = false});
  Pass pass(tape, learner.student(), /*training=*/false);
  learner.unet().forward(pass, tape.constant(impl_->batch.images()));
}

namespace {
using OpTimes = std::map<std::tuple<std::string, std::string, bool>, OpTime>;
OpTimes* g_times = nullptr;

OpTimes profile_step(Network& network) {
  OpTimes times;
  g_times = &times;
  observe_ops([](const Op& op, const Shape& y, bool backward, double seconds) {
    OpTime& t =
        g_times->try_emplace({op.name(), y.str(), backward}, OpTime{op.name(), y.str(), backward, 0, 0})
            .first->second;
    ++t.calls;
    t.seconds += seconds;
  });
  network.train();
  observe_ops(nullptr);
  return times;
}
}  // namespace

std::vector<OpTime> profile(Network& network, int steps) {
  network.train();
  OpTimes shortest = profile_step(network);
  for (int i = 1; i < steps; ++i)
    for (const auto& [key, t] : profile_step(network))
      shortest[key].seconds = std::min(shortest[key].seconds, t.seconds);
  std::vector<OpTime> sorted;
  for (const auto& [key, t] : shortest) sorted.push_back(t);
  std::sort(
      sorted.begin(), sorted.end(), [](const OpTime& a, const OpTime& b) { return a.seconds > b.seconds; });
  return sorted;
}

}  // namespace patchcl::bench
