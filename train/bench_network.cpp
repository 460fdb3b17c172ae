#include <map>
#include <tuple>

#include "layers/unet.h"
#include "tensor/random.h"
#include "train/bench.h"
#include "train/methods/terms.h"
#include "train/optimizer.h"

namespace patchcl::bench {

struct Network::Impl {
  ParamLayout layout;
  UNet net{layout, {}};
  Arena parameters{"parameters"}, activations{"activations"};
  ParamStore store{layout, parameters, DType::f32, /*with_grad=*/true};
  Sgd sgd{{}, layout.flat_size(), DType::f32, parameters};
  Tensor images, labels, rng;

  Impl(int64_t batch, int64_t size) {
    store.init(1);
    images = parameters.empty({batch, size, size, 1}, DType::f32);
    labels = parameters.empty({batch, size, size}, DType::u8);
    rng = parameters.zeros({2}, DType::i64);
    Rng random(2);
    for (int64_t i = 0; i < images.numel(); ++i) {
      images.data<float>()[i] = float(random.uniform());
      labels.data<uint8_t>()[i] = uint8_t(random.below(4));
    }
  }
};

Network::Network(int64_t batch, int64_t size) : impl_(std::make_unique<Impl>(batch, size)) {}
Network::~Network() = default;
size_t Network::arena_bytes() const { return impl_->parameters.stats().reserved + impl_->activations.stats().reserved; }

void Network::train() {
  Impl& n = *impl_;
  Tape tape(n.activations);
  n.store.zero_grad();
  {
    Pass pass(tape, n.store, /*training=*/true, n.rng);
    const Var logits = n.net.forward(pass, tape.constant(n.images)).logits;
    LossTerms terms;
    tape.backward(supervised_loss(logits, tape.constant(n.labels), {}, terms));
  }
  n.sgd.set(0.01, ++n.rng.data<int64_t>()[1]);
  n.sgd.step(n.store.values(), n.store.grads());
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
    OpTime& t = g_times->try_emplace({op.name(), y.str(), backward}, OpTime{op.name(), y.str(), backward, 0, 0}).first->second;
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
    for (const auto& [key, t] : profile_step(network)) shortest[key].seconds = std::min(shortest[key].seconds, t.seconds);
  std::vector<OpTime> sorted;
  for (const auto& [key, t] : shortest) sorted.push_back(t);
  std::sort(sorted.begin(), sorted.end(), [](const OpTime& a, const OpTime& b) { return a.seconds > b.seconds; });
  return sorted;
}

}  // namespace patchcl::bench
