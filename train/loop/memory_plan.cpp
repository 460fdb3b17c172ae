#include "train/loop/memory_plan.h"

#include <algorithm>
#include <cstdio>

#include "tensor/device.h"

namespace patchcl {

namespace {
std::string mib(size_t bytes) { return std::to_string((bytes + (1 << 19)) >> 20) + " MiB"; }
}  // namespace

void plan_memory(Learner& learner) {
  const LearnerOptions& o = learner.options();
  const size_t peak = learner.planned_bytes(), fixed = learner.parameters().stats().live;
  std::printf(
      "memory: parameters, gradients, optimiser%s %s, activations %s; %lld parameters, batch %lld of "
      "%lldx%lldx%d\n",
      learner.teacher() ? ", teacher" : "", mib(fixed).c_str(), mib(peak).c_str(),
      static_cast<long long>(learner.layout().parameter_count()), static_cast<long long>(o.run.batch),
      static_cast<long long>(o.run.size), static_cast<long long>(o.run.size), o.network.in_channels);
  // Parameters are there already, which free GPU memory shows and the machine's total does not.
  const bool gpu = o.device == Device::cuda;
  const size_t free = free_memory(o.device), taken = gpu ? 0 : fixed, room = free > taken ? free - taken : 0;
  if (peak > room) {
    const double share = double(room) / double(peak) * 0.9;
    fail(ExitCode::device, "memory", "the step's activations need ", mib(peak), ", the ",
        gpu ? "GPU" : "machine", " has ", mib(room), " for them; try --batch ",
        std::max<int64_t>(1, int64_t(double(o.run.batch) * share)));
  }
  learner.activations().reserve(peak);
}

}  // namespace patchcl
