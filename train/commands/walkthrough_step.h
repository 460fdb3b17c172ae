// The step of docs/walkthrough.md: PatchCL on two 8x8 images with two classes. The images are a bright square
// on dark ground; one is labelled, the other is not.
#pragma once
#include <memory>

#include "losses/guided_contrastive.h"
#include "train/audit/step_audit.h"

namespace patchcl {

namespace walkthrough {
constexpr int64_t kSide = 8, kClasses = 2, kPatch = 4, kStride = 2;
constexpr int64_t kIteration = 80, kIterations = 320;  // behind the first mistakes, in the middle of the ramp
constexpr double kEma = 0.9, kBeta = 0.5;
const GuidedContrastiveOptions kLoss{.tau = 1, .lambda = 10, .psi = 1};
}  // namespace walkthrough

// Trained up to it; from here on the process computes with the naive kernels.
std::unique_ptr<StepAudit> walkthrough_step();

}  // namespace patchcl
