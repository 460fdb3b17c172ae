// Parameter audit: is the gradient of a whole training loss right, tensor by tensor?
//
// The loss L is any deterministic function of a ParamStore's values (f64). Per tensor some entries are
// probed, its largest analytic one among them, and some Gaussian directions:
//   n(h) = (L(w + h d) - L(w - h d)) / 2h   against   a = <dL/dw, d>
//   passes when |a - n| <= 1e-6 s + 64 eps (|L+| + |L-|) / h
// with s the tensor's largest |dL/dw| (its norm for a direction). Written so that NaN fails. 64 where the
// battery of single ops has 8: a whole network rounds more.
//
// A network with leaky ReLU and max-pooling has kinks: when
// one lies between w - h d and w + h d, n(h) is no derivative. So a probe that disagrees is repeated with
// steps ten times smaller, as far as rounding lets anything be seen: a kink is left behind sooner or later, a
// wrong gradient stays wrong. If the last step still disagrees, half of it decides: where n(h) and n(h/2)
// agree the function is smooth and the gradient is wrong; else the probe is reported as a kink, neither
// passed nor failed.
// Left out: what the loss holds constant (teacher, queues, pseudo-labels) has no gradient to audit.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "layers/params.h"

namespace patchcl {

struct ParameterAuditOptions {
  uint64_t seed = 1;
  int entries = 3;     // per tensor, the largest one first
  int directions = 1;  // per tensor
  int tensors = 0;     // > 0: only so many tensors, drawn at random (a spot check)
  std::function<void(size_t done, size_t all)> progress = {};  // after each tensor
};

struct ParameterCheck {
  std::string name;
  Shape shape;
  double norm = 0;                  // of the analytic gradient
  double error_over_tolerance = 0;  // the worst judged probe; NaN counts as worst
  std::string where;                // that probe: "entry (0,1,0,3): analytic 0.125, numeric 0.25"
  int judged = 0, kinks = 0;        // probes
  bool felt = false;                // some difference stood out of the rounding: false is a vacuous gradient

  bool ok() const { return judged > 0 && error_over_tolerance <= 1; }
  std::string verdict() const {
    if (judged == 0) return "kinks only";
    if (!ok()) return "FAILED";
    return felt ? "ok" : "ok (zero)";
  }
};

// `loss` evaluates L at the current values of `parameters`, whose grads() hold dL/dw at the present ones.
// Values are restored. The worst offender comes first.
std::vector<ParameterCheck> audit_parameters(
    ParamStore& parameters, const std::function<double()>& loss, const ParameterAuditOptions& options = {});

// ExitCode::audit unless every tensor was judged and passed.
ExitCode verdict(const std::vector<ParameterCheck>& checks);

}  // namespace patchcl
