#include "train/audit/parameter_audit.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/random.h"
#include "tensor/text.h"

namespace patchcl {
namespace {

constexpr double kEps = 2.2e-16;
constexpr double kSteps[] = {1e-5, 1e-6, 1e-7, 1e-8};

// A straight line through parameter space: entries of one tensor and how far each moves per unit of h.
struct Line {
  std::vector<int64_t> entries;
  std::vector<double> direction;
};

struct Slope {
  double value, noise;
};

class Prober {
 public:
  Prober(const Tensor& value, const std::function<double()>& loss)
      : value_(value.data<double>()), loss_(loss) {}

  // Central difference of the loss along the line.
  Slope slope(const Line& line, double h) const {
    std::vector<double> before;
    for (int64_t i : line.entries) before.push_back(value_[i]);
    const auto at = [&](double t) {
      for (size_t k = 0; k < before.size(); ++k) value_[line.entries[k]] = before[k] + t * line.direction[k];
      return loss_();
    };
    const double up = at(h), down = at(-h);
    at(0);
    for (size_t k = 0; k < before.size(); ++k) value_[line.entries[k]] = before[k];
    return {(up - down) / (2 * h), 64 * kEps * (std::fabs(up) + std::fabs(down)) / h};
  }

 private:
  double* value_;
  const std::function<double()>& loss_;
};

enum class Judgement { judged, kink };

struct Probe {
  Judgement judgement;
  double numeric, ratio;  // ratio = error over tolerance
  bool felt;
};

Probe probe(const Prober& prober, const Line& line, double analytic, double scale) {
  Probe p{};
  for (double h : kSteps) {
    const Slope n = prober.slope(line, h);
    if (h < kSteps[0] && n.noise > 1e-3 * scale) break;  // too noisy to say anything
    const auto tolerance = [&](const Slope& s) { return 1e-6 * scale + s.noise; };
    p = {Judgement::judged, n.value, std::fabs(analytic - n.value) / tolerance(n),
        std::fabs(n.value) > n.noise};
    if (p.ratio <= 1) return p;
    const Slope half = prober.slope(line, h / 2);
    const bool smooth = !(std::fabs(n.value - half.value) > tolerance(half));  // a NaN is no kink
    if (!smooth) p.judgement = Judgement::kink;
  }
  return p;
}

ParameterCheck audit_tensor(const ParamInfo& info, const Tensor& value, const Tensor& gradient,
    const std::function<double()>& loss, const ParameterAuditOptions& options, Rng& rng) {
  const double* g = gradient.data<double>();
  const int64_t n = gradient.numel();
  ParameterCheck check;
  check.name = info.name;
  check.shape = info.shape;
  int64_t largest = 0;
  double squares = 0;
  for (int64_t i = 0; i < n; ++i) {
    squares += g[i] * g[i];
    if (!(std::fabs(g[i]) <= std::fabs(g[largest]))) largest = i;
  }
  check.norm = std::sqrt(squares);
  const Prober prober(value, loss);
  const auto take = [&](const Line& line, double analytic, double scale, const std::string& what) {
    const Probe p = probe(prober, line, analytic, scale);
    if (p.judgement == Judgement::kink) {
      ++check.kinks;
      return;
    }
    check.felt |= p.felt;
    if (check.judged++ && p.ratio <= check.error_over_tolerance) return;
    check.error_over_tolerance = p.ratio;
    TextOut s;
    s.precision(9);
    s << what << ": analytic " << analytic << ", numeric " << p.numeric;
    check.where = s.str();
  };
  // Entries that turn out to sit at a kink are made up for by others.
  for (int k = 0; k < 2 * options.entries && check.judged < options.entries; ++k) {
    const int64_t i = k == 0 ? largest : rng.below(n);
    take({{i}, {1}}, g[i], std::fabs(g[largest]), "entry " + info.shape.position(i).str());
  }
  for (int k = 0; k < options.directions; ++k) {
    Line line;
    line.entries.resize(size_t(n));
    std::iota(line.entries.begin(), line.entries.end(), 0);
    double along = 0, length = 0;
    for (int64_t i = 0; i < n; ++i) line.direction.push_back(rng.normal());
    for (double d : line.direction) length += d * d;
    for (int64_t i = 0; i < n; ++i) along += g[i] * (line.direction[size_t(i)] /= std::sqrt(length));
    take(line, along, check.norm, "Gaussian direction");
  }
  return check;
}

double badness(const ParameterCheck& c) {
  if (c.judged == 0) return 1;
  return std::isnan(c.error_over_tolerance) ? HUGE_VAL : c.error_over_tolerance;
}

}  // namespace

std::vector<ParameterCheck> audit_parameters(
    ParamStore& parameters, const std::function<double()>& loss, const ParameterAuditOptions& options) {
  require(
      parameters.dtype() == DType::f64 && parameters.grads() && parameters.values().device() == Device::cpu,
      "audit", "wants parameters in f64 on the CPU, with gradients");
  Rng rng(options.seed);
  const auto& infos = parameters.layout().parameters();
  std::vector<int> chosen(infos.size());
  std::iota(chosen.begin(), chosen.end(), 0);
  if (options.tensors > 0 && options.tensors < int(chosen.size())) {
    for (int i = 0; i < options.tensors; ++i)
      std::swap(chosen[size_t(i)], chosen[size_t(i + rng.below(int64_t(chosen.size()) - i))]);
    chosen.resize(size_t(options.tensors));
  }
  std::vector<ParameterCheck> checks;
  for (int i : chosen) {
    checks.push_back(
        audit_tensor(infos[size_t(i)], parameters.value(i), parameters.grad(i), loss, options, rng));
    if (options.progress) options.progress(checks.size(), chosen.size());
  }
  std::stable_sort(
      checks.begin(), checks.end(), [](const auto& a, const auto& b) { return badness(a) > badness(b); });
  return checks;
}

ExitCode verdict(const std::vector<ParameterCheck>& checks) {
  const bool ok = !checks.empty() &&
                  std::all_of(checks.begin(), checks.end(), [](const ParameterCheck& c) { return c.ok(); });
  return ok ? ExitCode::ok : ExitCode::audit;
}

}  // namespace patchcl
