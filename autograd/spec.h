// OpSpec: how to exercise an op. Drives the gradient battery in tests and in `patchcl audit ops`.
//
// A spec lists at least three cases (odd sizes, N = 1, C = 1 among them), how each input is drawn, and an
// independent reference of the forward pass in f64, written from the formula and not from the kernel.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "autograd/op.h"
#include "tensor/random.h"

namespace patchcl {

// Draws all elements of one input. Receives the shape so that it can keep ties and kinks away.
using Draw = std::function<std::vector<double>(const Shape&, Rng&)>;
namespace draw {
Draw normal(double scale = 1);
Draw uniform(double lo, double hi);
Draw away_from(double kink, double margin = 0.05);  // normal, but |x - kink| >= margin
Draw distinct(double gap = 0.05);    // a shuffled grid: no two elements closer than gap (pooling, max)
Draw integers(int64_t n);            // uniform in {0..n-1}: labels, indices
Draw bits(double p);                 // 1 with probability p, else 0
Draw values(std::vector<double> v);  // exactly these, repeated to fill the shape
}  // namespace draw

struct OpInput {
  Shape shape;
  Draw draw = draw::normal();
  // f64 stands for "the floating type under test"; integer types are kept as they are.
  DType dtype = DType::f64;
};

struct OpCase {
  std::string label;  // "3x3 pad 1, odd size"
  std::shared_ptr<const Op> op;
  std::vector<OpInput> inputs;
  // Independent forward reference: flat inputs -> flat output, all in f64.
  std::function<std::vector<double>(const std::vector<std::vector<double>>&)> reference;
  // Forward agreement wanted, relative to max|y|: looser only where a fast kernel rounds otherwise
  // (Winograd).
  double tolerance_f64 = 1e-12, tolerance_f32 = 2e-6;
  // f32 gradients against f64 ones of the same kernel, relative to max|dx|.
  double tolerance_grad_f32 = 1e-5;
  // bf16 maps against f64 by the fast kernels of the CPU: looser only where they round factors (Winograd).
  double tolerance_bf16 = 1 / 128.;
  // Inputs whose true gradient is identically zero (declared, so that vacuous gradients elsewhere fail).
  uint32_t zero_gradient = 0;
};

struct OpSpec {
  std::string op;  // equals Op::name()
  std::vector<OpCase> cases;
};

std::vector<OpSpec>& specs();
// Registers at program start: static AddSpec conv2d_spec{{"conv2d", {...}}};
struct AddSpec {
  explicit AddSpec(OpSpec s) { specs().push_back(std::move(s)); }
};

// One line of the battery's report.
struct Check {
  std::string op, label,
      check;  // "conv2d", "3x3 pad 1, odd size", "x[1] against central differences, upstream 2"
  double error_over_tolerance = 0;  // at most 1 passes; NaN fails
  std::string where;                // the worst element: "dx[1](2,0,3,4) is 0.125, wanted 0.25"
  bool ok = false;
  bool ran = true;  // false: the device lacks this op's kernel, `where` says why
};

struct AuditOptions {
  uint64_t seed = 1;
  Device device = Device::cpu;
  int samples = 256;   // elements probed of a tensor larger than this
  int directions = 3;  // Gaussian directions for such tensors
};

// The whole battery for one case. Never throws for a wrong gradient; a throwing op is a failed check.
std::vector<Check> audit(const OpSpec& spec, const OpCase& c, const AuditOptions& options = {});

// ok when there is at least one check and all passed; ExitCode::audit when one failed or did not run.
ExitCode verdict(const std::vector<Check>& checks);

}  // namespace patchcl
