#include "data/stream/sampler.h"

#include "tensor/error.h"
#include "tensor/random.h"

namespace patchcl {

namespace {
constexpr uint32_t kLabeledSite = 0xB00001, kUnlabeledSite = 0xB00002;

// The order of pass number `pass` over n items.
std::vector<int64_t> order_of(uint64_t seed, int64_t pass, uint32_t site, int64_t n) {
  Rng rng(seed, uint64_t(pass), site);
  return shuffled(n, rng);
}

// Items [begin, begin + count) of the endless sequence of shuffled passes.
void endless(uint64_t seed, uint32_t site, int64_t n, int64_t begin, int64_t count, int64_t first,
    std::vector<int64_t>& out) {
  std::vector<int64_t> order;
  for (int64_t i = begin; i < begin + count; ++i) {
    if (order.empty() || i % n == 0) order = order_of(seed, i / n, site, n);
    out.push_back(first + order[i % n]);
  }
}
}  // namespace

Sampler::Sampler(
    uint64_t seed, int64_t labeled, int64_t unlabeled, int64_t labeled_batch, int64_t unlabeled_batch)
    : seed_(seed), labeled_(labeled), unlabeled_(unlabeled), labeled_batch_(labeled_batch),
      unlabeled_batch_(unlabeled_batch) {
  if (labeled_batch_ < 0 || unlabeled_batch_ < 0 || batch_size() < 1)
    fail(ExitCode::usage, "sampler", "batch of ", labeled_batch_, " labelled and ", unlabeled_batch_,
        " unlabelled images");
  if (labeled_ < 1) fail(ExitCode::data, "sampler", "no labelled image to train on");
}

std::vector<int64_t> Sampler::batch(int64_t iteration) const {
  std::vector<int64_t> out;
  if (labeled_batch_ == 0 || labeled_ < labeled_batch_) {
    endless(seed_, kLabeledSite, labeled_, iteration * labeled_batch_, labeled_batch_, 0, out);
  } else {
    const int64_t per_epoch = labeled_ / labeled_batch_;  // the incomplete last batch is dropped
    const std::vector<int64_t> order = order_of(seed_, iteration / per_epoch, kLabeledSite, labeled_);
    const auto begin = order.begin() + iteration % per_epoch * labeled_batch_;
    out.assign(begin, begin + labeled_batch_);
  }
  const int64_t first = labeled_batch_ == 0 || unlabeled_ == 0 ? 0 : labeled_;
  endless(seed_, kUnlabeledSite, labeled_ + unlabeled_ - first, iteration * unlabeled_batch_,
      unlabeled_batch_, first, out);
  return out;
}

}  // namespace patchcl
