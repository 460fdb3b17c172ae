#include <map>
#include <tuple>

#include "layers/unet.h"
#include "tensor/cuda.h"
#include "tensor/device.h"
#include "tensor/random.h"
#include "train/bench/bench.h"
#include "train/methods/terms.h"
#include "train/optim/optimizer.h"
#include "train/loop/recorded_step.h"

namespace patchcl::bench {

struct Network::Impl {
  Device device;
  ParamLayout layout;
  UNet net{layout, {}};
  Arena parameters{"parameters", device}, activations{"activations", device};
  ParamStore store{layout, parameters, DType::f32, /*with_grad=*/true};
  Sgd sgd{{}, layout.flat_size(), DType::f32, parameters};
  Tensor images, labels, rng;
  int64_t steps = 0;
  std::unique_ptr<RecordedStep> recorded;

  Impl(int64_t batch, int64_t size, Device where, bool graph) : device(where) {
    store.init(1);
    const Arena host("bench");
    const Tensor pixels = host.empty({batch, size, size, 1}, DType::f32),
                 classes = host.empty({batch, size, size}, DType::u8);
    Rng random(2);
    for (int64_t i = 0; i < pixels.numel(); ++i) {
      pixels.data<float>()[i] = float(random.uniform());
      classes.data<uint8_t>()[i] = uint8_t(random.below(4));
    }
    images = moved(pixels);
    labels = moved(classes);
    rng = parameters.zeros({2}, DType::i64);
    if (graph)
      recorded = std::make_unique<RecordedStep>(
          activations, [this](Tape& tape, LossTerms& log) { return step(tape, log); });
  }
  Tensor moved(const Tensor& from) const {
    const Tensor to = parameters.empty(from.shape(), from.dtype());
    copy(from, to);
    return to;
  }
  Var step(Tape& tape, LossTerms& log) {
    store.zero_grad();
    Pass pass(tape, store, /*training=*/true, rng);
    const Var logits = net.forward(pass, tape.constant(images)).logits;
    const Var loss = supervised_loss(logits, tape.constant(labels), {}, log);
    tape.backward(loss);
    sgd.step(store.values(), store.grads());
    return loss;
  }
};

Network::Network(int64_t batch, int64_t size, Device device, bool graph)
    : impl_(std::make_unique<Impl>(batch, size, device, graph)) {}
Network::~Network() = default;
void Network::wait() {
  if (impl_->device == Device::cuda) cuda::synchronize();
}

void Network::train() {
  Impl& n = *impl_;
  const int64_t words[2] = {0, ++n.steps};
  copy_bytes(n.rng.raw(), n.device, words, Device::cpu, sizeof words);
  n.sgd.set(0.01, n.steps);
  if (n.recorded) return n.recorded->run();
  Tape tape(n.activations);
  LossTerms terms;
  n.step(tape, terms);
}

void Network::infer() {
  Impl& n = *impl_;
  Tape tape(n.activations, {.grad = false});
  Pass pass(tape, n.store, /*training=*/false);
  n.net.forward(pass, tape.constant(n.images));
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
